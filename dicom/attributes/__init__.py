"""What an object says of its picture, its patient and itself (PS3.3); nothing is decoded here."""
