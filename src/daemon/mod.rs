//! The loop that feeds and drains the engine.
