# Six clients in three racks, two of them with more room: for spread, affinity and constraints
# on ${meta.rack} and ${node.class}.
clients "a" {
  count = 2
  meta  = { rack = "a" }
}

clients "b" {
  count = 2
  meta  = { rack = "b" }
}

clients "c" {
  count      = 2
  node_class = "large"
  meta       = { rack = "c" }
}
