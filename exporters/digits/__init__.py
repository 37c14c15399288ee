"""The sample model: handwritten digits, trained on real scans."""
