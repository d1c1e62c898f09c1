# A client: it runs what the server gives it. One address of any member is enough.
name      = "client3"
data_dir  = "/tmp/tumen-workshop/client3"
bind_addr = "127.0.0.1"

client {
  enabled           = true
  servers           = ["127.0.0.1:4647"]
  network_interface = "lo"
}

advertise {
  http = "127.0.0.1"
  rpc  = "127.0.0.1"
  serf = "127.0.0.1"
}

ports {
  http = 5676
  rpc  = 5677
  serf = 5678
}

plugin "raw_exec" {
  config {
    enabled = true
  }
}
