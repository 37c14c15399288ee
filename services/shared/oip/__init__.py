"""The Open Inference Protocol, common to every transport."""
