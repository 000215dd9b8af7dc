//! A real nginx in front of a server.

use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};

use super::eventually;

/// Ended when dropped.
pub struct Nginx {
    child: Child,
    _folder: tempfile::TempDir,
}

/// A port nobody listens on now.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

impl Nginx {
    /// Hands what comes to the port to those on these ports by turns; what one that is dead was to answer goes to the next.
    pub fn balance(port: u16, to: &[u16]) -> Nginx {
        let servers: String = to.iter().map(|port| format!("server 127.0.0.1:{port} max_fails=0;")).collect();
        let location = "location / { proxy_pass http://hubs; proxy_http_version 1.1; proxy_set_header Connection ''; \
                        proxy_set_header Host $http_host; proxy_request_buffering off; proxy_buffering off; \
                        proxy_connect_timeout 2s; proxy_read_timeout 120s; }";
        Nginx::start_with(port, &format!("upstream hubs {{ {servers} }}"), location)
    }

    /// Listens on the port; `location` is what stands in its one server.
    pub fn start(port: u16, location: &str) -> Nginx {
        Nginx::start_with(port, "", location)
    }

    /// The same with something before the server.
    fn start_with(port: u16, before: &str, location: &str) -> Nginx {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name).display().to_string();
        let places: String =
            ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].iter().map(|what| format!("{what}_temp_path {};\n", at(what))).collect();
        let config = format!(
            "daemon off; master_process off; pid {}; error_log {} crit; events {{}}\n\
             http {{ access_log off; {places} {before} server {{ listen 127.0.0.1:{port}; client_max_body_size 0; {location} }} }}\n",
            at("pid"),
            at("error")
        );
        std::fs::write(at("conf"), config).unwrap();
        let program = ["/usr/sbin/nginx", "/usr/local/sbin/nginx", "/opt/homebrew/bin/nginx"].into_iter();
        let program = program.into_iter().find(|path| std::path::Path::new(path).exists()).unwrap_or("nginx");
        let mut command = Command::new(program);
        command.args(["-c", &at("conf"), "-p"]).arg(folder.path()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().expect("nginx is installed (.ci/packages test)");
        eventually("nginx listens", || TcpStream::connect(("127.0.0.1", port)).ok());
        Nginx { child, _folder: folder }
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
