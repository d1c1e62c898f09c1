//! Whole planner stories on a small cluster kept in maps.

mod explaining;
mod placing;
mod properties;
mod updating;
mod world;
