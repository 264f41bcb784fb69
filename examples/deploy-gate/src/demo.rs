//! The service asks itself once, over real HTTP, so that one command shows the whole way.

use std::error::Error;
use std::io::Write;
use std::net::SocketAddr;

use identree_core::Engine;
use identree_core::actor::{Actor, Strength};
use identree_core::id::{ChallengeId, UserName};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

/// Ann asks for two deploys; Ada approves the one that waits.
pub(crate) async fn run(listener: TcpListener, engine: Engine, out: &mut impl Write) -> Result<(), Box<dyn Error>> {
    let server = listener.local_addr()?;
    let (stop, stopped) = oneshot::channel::<()>();
    let serving = super::serve(listener, engine.clone(), async { drop(stopped.await) });
    let story = async {
        let asked =
            async |to: &str| post(server, &format!("/deploy?to={to}&version=4.2"), "x-example-user: ann\r\n", "").await;
        writeln!(out, "ann: POST /deploy?to=shop/staging&version=4.2")?;
        writeln!(out, "     {}", asked("shop/staging").await?)?;
        writeln!(out, "ann: POST /deploy?to=shop/production&version=4.2 (waits)")?;
        let approved = async {
            let id = waiting(&engine).await?;
            let form = "content-type: application/x-www-form-urlencoded\r\n";
            Ok::<_, Box<dyn Error>>(post(server, &format!("/questions/{id}"), form, "who=ada&vote=approve").await?)
        };
        let (deployed, voted) = tokio::join!(asked("shop/production"), approved);
        writeln!(out, "ada: approves on the page\n     {}", voted?)?;
        writeln!(out, "ann: {}", deployed?)?;
        drop(stop);
        Ok::<_, Box<dyn Error>>(())
    };
    let (served, told) = tokio::join!(serving, story);
    served.and(told)
}

/// The first question that waits, as soon as there is one.
async fn waiting(engine: &Engine) -> Result<ChallengeId, Box<dyn Error>> {
    let ada = Actor::vouched("example", UserName::parse("ada")?, engine.clock().now(), Strength::SignedIn);
    let mut changes = engine.changes();
    loop {
        if let Some(record) = engine.visible(&ada).first() {
            return Ok(record.question().id);
        }
        changes.changed().await?;
    }
}

/// One request; status line and body of the answer. A real client uses a crate for it.
pub(crate) async fn post(server: SocketAddr, path: &str, headers: &str, body: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(server).await?;
    let length = body.len();
    let request = format!(
        "POST {path} HTTP/1.1\r\nhost: {server}\r\nconnection: close\r\ncontent-length: {length}\r\n{headers}\r\n{body}"
    );
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status = head.lines().next().unwrap_or_default().trim_start_matches("HTTP/1.1 ");
    Ok(format!("{status}: {}", body.trim_end()).trim_end_matches([':', ' ']).to_owned())
}
