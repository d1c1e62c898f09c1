# One server, and clients in two datacenters: jobs choose with `datacenters`, or spread.
servers {
  datacenter = "east"
}

clients "east" {
  count      = 2
  datacenter = "east"
}

clients "west" {
  count      = 2
  datacenter = "west"
}
