"""`grayscale jobs`: many images to a running server, and what came of them."""
