"""The only code that touches a runtime or an accelerator."""
