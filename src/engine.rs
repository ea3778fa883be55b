//! One core without the world.
