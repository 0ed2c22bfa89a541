"""What each attention learns from nothing, and what it can't: copying and reversing random symbols."""
