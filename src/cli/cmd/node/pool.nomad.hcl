# A node pool is a named set of nodes. A client joins it with `node_pool = "example"` in the
# `client` block of its configuration; a job asks for it with `node_pool = "example"`.
node_pool "example" {
  description = "Nodes for examples"

  # Anything that helps people: shown by `tumen node pool info`.
  meta {
    owner = "platform"
  }
}
