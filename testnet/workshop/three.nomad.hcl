# Three instances; they land on three different clients.
job "three" {
  group "web" {
    count = 3

    network {
      port "http" {}
    }

    task "server" {
      driver = "raw_exec"

      config {
        command = "python3"
        args    = ["-m", "http.server", "${NOMAD_PORT_http}", "--bind", "127.0.0.1", "--directory", "local"]
      }

      resources {
        cpu    = 50
        memory = 32
      }
    }
  }
}
