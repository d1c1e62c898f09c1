//! Whole planner stories on a small cluster kept in maps.
