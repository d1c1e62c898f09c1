# A batch job without containers: it runs once, and ends well when its command does.
variable "name" {
  type    = string
  default = "world"
}

job "greeting" {
  type = "batch"

  group "hello" {
    task "say" {
      driver = "raw_exec"

      config {
        command = "/bin/sh"
        args    = ["-c", "echo hello, $GREETED, from $NOMAD_ALLOC_NAME"]
      }

      env {
        GREETED = var.name
      }

      resources {
        cpu    = 50
        memory = 16
      }
    }
  }
}
