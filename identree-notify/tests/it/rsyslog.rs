//! rsyslog of Debian, in a directory of its own: it takes messages on three ways and hands on what it has parsed, as JSON.

use std::fmt::Write as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::Duration;

use identree_evidence::Certified;
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::peer::{free_port, need};

const PROGRAM: &str = "/usr/sbin/rsyslogd";
const TLS: &str = "/usr/lib/x86_64-linux-gnu/rsyslog/lmnsd_gtls.so";
/// Longer than any of its answers takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    Udp,
    Tcp,
    Tls,
}

pub(crate) struct Rsyslog {
    directory: TempDir,
    way: Way,
    pub(crate) port: u16,
    /// The authority of its certificate, PEM.
    pub(crate) authority: String,
    running: Mutex<Option<Child>>,
    handed_on: tokio::sync::Mutex<HandedOn>,
}

/// What it parsed so far.
struct HandedOn {
    lines: mpsc::UnboundedReceiver<String>,
    messages: Vec<Value>,
    markers: u64,
}

impl Rsyslog {
    /// Started, and ready.
    pub(crate) async fn start(way: Way) -> Self {
        need(PROGRAM);
        if way == Way::Tls {
            need(TLS);
        }
        let (directory, port) = (TempDir::new().unwrap(), free_port());
        let collector = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let to = collector.local_addr().unwrap().port();
        let authority = certificates(directory.path());
        std::fs::write(directory.path().join("rsyslog.conf"), configuration(directory.path(), way, port, to)).unwrap();
        let (sender, lines) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Ok((stream, _)) = collector.accept().await {
                let sender = sender.clone();
                tokio::spawn(async move {
                    let mut read = BufReader::new(stream).lines();
                    while let Ok(Some(line)) = read.next_line().await {
                        if sender.send(line).is_err() {
                            break;
                        }
                    }
                });
            }
        });
        let handed_on = tokio::sync::Mutex::new(HandedOn { lines, messages: Vec::new(), markers: 0 });
        let rsyslog = Self { directory, way, port, authority, running: Mutex::new(None), handed_on };
        rsyslog.run().await;
        rsyslog
    }

    /// Runs it, and waits until it hands on what it is told.
    pub(crate) async fn run(&self) {
        let path = |name: &str| self.directory.path().join(name);
        let log = std::fs::File::create(path("output")).unwrap();
        let child = Command::new(PROGRAM)
            .args(["-n", "-f"])
            .arg(path("rsyslog.conf"))
            .arg("-i")
            .arg(path("pid"))
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        *self.running.lock().unwrap() = Some(child);
        self.caught_up().await;
    }

    /// Ends it as a crash does.
    pub(crate) fn kill(&self) {
        if let Some(mut child) = self.running.lock().unwrap().take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Stops it from reading.
    pub(crate) async fn pause(&self) {
        let pid = rustix::process::Pid::from_child(self.running.lock().unwrap().as_ref().unwrap());
        rustix::process::kill_process(pid, rustix::process::Signal::STOP).unwrap();
        // Each of its threads stands still (proc(5): the state after the name).
        let stands = |task: std::io::Result<std::fs::DirEntry>| {
            let state = std::fs::read_to_string(task.unwrap().path().join("stat")).unwrap();
            state.rsplit_once(") ").unwrap().1.starts_with('T')
        };
        let tasks = format!("/proc/{}/task", pid.as_raw_nonzero());
        while !std::fs::read_dir(&tasks).unwrap().all(stands) {
            tokio::task::yield_now().await;
        }
    }

    /// All messages it has parsed, once it has parsed what was sent before this call.
    pub(crate) async fn messages(&self) -> Vec<Value> {
        if self.running.lock().unwrap().is_some() {
            // What one connection brings may be read after what another does: a marker goes out when all was read.
            while !self.has_read() {
                tokio::task::yield_now().await;
            }
            self.caught_up().await;
        }
        self.handed_on.lock().await.messages.clone()
    }

    /// Whether nothing stands in the system's buffers of its connections (proc(5): `tx_queue:rx_queue`).
    fn has_read(&self) -> bool {
        let port = format!(":{:04X}", self.port);
        std::fs::read_to_string("/proc/net/tcp").unwrap().lines().skip(1).all(|line| {
            let fields: Vec<_> = line.split_whitespace().collect();
            !(fields[1].ends_with(&port) || fields[2].ends_with(&port)) || fields[4] == "00000000:00000000"
        })
    }

    /// Sends a marker until it comes back.
    async fn caught_up(&self) {
        let mut handed_on = self.handed_on.lock().await;
        handed_on.markers += 1;
        let marker = format!("marker {}", handed_on.markers);
        let back = timeout(PATIENCE, async {
            loop {
                self.tell(&marker).await;
                // A marker that came before it was ready is gone: then another one goes out.
                while let Ok(line) = timeout(Duration::from_millis(500), handed_on.lines.recv()).await {
                    let message: Value = serde_json::from_str(&line.unwrap()).unwrap();
                    let text = message["msg"].as_str().unwrap().trim_start().to_owned();
                    match text.strip_prefix("marker ") {
                        Some(_) if text == marker => return,
                        Some(_) => {}
                        None => handed_on.messages.push(message),
                    }
                }
            }
        });
        back.await.unwrap_or_else(|_| {
            let output = std::fs::read_to_string(self.directory.path().join("output")).unwrap_or_default();
            panic!("rsyslog hands nothing on: {output}")
        });
    }

    async fn tell(&self, marker: &str) {
        let message = format!("<86>1 - - marker - - - {marker}");
        match self.way {
            Way::Udp => {
                let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
                let _ = socket.send_to(message.as_bytes(), ("127.0.0.1", self.port)).await;
            }
            // Under TLS the marker comes in beside it.
            Way::Tcp | Way::Tls => {
                let port = if self.way == Way::Tls { self.beside() } else { self.port };
                if let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)).await {
                    let _ = stream.write_all(format!("{} {message}", message.len()).as_bytes()).await;
                }
            }
        }
    }

    /// The port of the plain stream beside TLS.
    fn beside(&self) -> u16 {
        std::fs::read_to_string(self.directory.path().join("beside")).unwrap().parse().unwrap()
    }

    /// Gives it another certificate, of an authority that nobody trusts, or the first one again. It must be run anew.
    pub(crate) fn present(&self, certificate: &str) {
        for kind in ["cert", "key"] {
            let path = |name: &str| self.directory.path().join(format!("{name}-{kind}.pem"));
            std::fs::copy(path(certificate), path("used")).unwrap();
        }
    }
}

impl Drop for Rsyslog {
    fn drop(&mut self) {
        self.kill();
    }
}

/// `good` and `bad` with keys and authorities, and `used`, which is `good`. Gives the authority of `good`.
fn certificates(directory: &Path) -> String {
    let mut trusted = String::new();
    for name in ["bad", "good"] {
        let made = Certified::of(&["localhost", "127.0.0.1"]);
        trusted = made.authority;
        for name in [name, "used"] {
            std::fs::write(directory.join(format!("{name}-cert.pem")), &made.certificate).unwrap();
            std::fs::write(directory.join(format!("{name}-key.pem")), &made.key).unwrap();
        }
        std::fs::write(directory.join("authority.pem"), &trusted).unwrap();
    }
    trusted
}

fn configuration(directory: &Path, way: Way, port: u16, to: u16) -> String {
    let at = directory.display();
    let mut text = format!("global(maxMessageSize=\"512k\" workDirectory=\"{at}\"");
    if way == Way::Tls {
        let _ = write!(
            text,
            "\n  defaultNetstreamDriverCAFile=\"{at}/authority.pem\" defaultNetstreamDriverCertFile=\"{at}/used-cert.pem\" \
             defaultNetstreamDriverKeyFile=\"{at}/used-key.pem\""
        );
    }
    text += ")\nmain_queue(queue.type=\"LinkedList\" queue.size=\"100000\" queue.workerThreads=\"1\")\n";
    text += &match way {
        Way::Udp => format!(
            "module(load=\"imudp\")\ninput(type=\"imudp\" address=\"127.0.0.1\" port=\"{port}\" rcvbufSize=\"4m\")\n"
        ),
        Way::Tcp => {
            format!(
                "module(load=\"imptcp\" threads=\"1\")\ninput(type=\"imptcp\" address=\"127.0.0.1\" port=\"{port}\" maxframesize=\"500000\")\n"
            )
        }
        Way::Tls => {
            let beside = free_port();
            std::fs::write(directory.join("beside"), beside.to_string()).unwrap();
            format!(
                "module(load=\"imtcp\" StreamDriver.Name=\"gtls\" StreamDriver.Mode=\"1\" StreamDriver.AuthMode=\"anon\" \
                 maxFrameSize=\"500000\")\ninput(type=\"imtcp\" address=\"127.0.0.1\" port=\"{port}\")\n\
                 module(load=\"imptcp\" threads=\"1\")\ninput(type=\"imptcp\" address=\"127.0.0.1\" port=\"{beside}\")\n"
            )
        }
    };
    text += "template(name=\"parsed\" type=\"list\") {\n  constant(value=\"{\")\n";
    let fields = [
        "pri",
        "timereported",
        "hostname",
        "app-name",
        "procid",
        "msgid",
        "structured-data",
        "msg",
        "syslogfacility-text",
        "syslogseverity-text",
    ];
    for (n, field) in fields.iter().enumerate() {
        let date = if *field == "timereported" { " dateFormat=\"rfc3339\"" } else { "" };
        let comma = if n == 0 { "" } else { "  constant(value=\", \")\n" };
        let _ = writeln!(text, "{comma}  property(name=\"{field}\" outname=\"{field}\" format=\"jsonf\"{date})");
    }
    text += "  constant(value=\"}\\n\")\n}\n";
    let _ = writeln!(
        text,
        "action(type=\"omfwd\" target=\"127.0.0.1\" port=\"{to}\" protocol=\"tcp\" template=\"parsed\" action.resumeRetryCount=\"-1\")"
    );
    text
}
