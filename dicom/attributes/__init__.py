"""The attributes of an object: its picture, its patient, its identity (PS3.3). Nothing is decoded here."""
