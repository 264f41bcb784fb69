//! Puts the gate into this host's PAM stacks, and takes it out again: planned as text, rehearsed, then changed file by
//! file with a way back at every step.

pub mod stack;
