//! Coverage of the printed interval, and its ends.
