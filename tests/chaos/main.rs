//! Tests that stop, kill and empty what everything else rests on. To be filled.

