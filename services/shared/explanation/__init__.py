"""What in a picture made a classifier's answer, found by asking it about the picture with parts hidden."""
