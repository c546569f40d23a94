"""Image files as they come from elsewhere: unusual, damaged, or made to cost much. All are drawn here."""
