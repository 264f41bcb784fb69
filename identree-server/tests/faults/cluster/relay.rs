//! What lies between one server and PostgreSQL: a relay that can be cut, or hold everything back.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};

/// How the line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Line {
    /// Everything passes.
    Open,
    /// Every connection ends, and new ones end at once.
    Cut,
    /// Nothing passes, and nobody is told.
    Stalled,
}

/// A relay to a port of this machine.
pub(crate) struct Relay {
    pub(crate) port: u16,
    state: Arc<State>,
}

struct State {
    line: Mutex<(Line, Vec<TcpStream>)>,
    changed: Condvar,
}

impl State {
    fn line(&self) -> MutexGuard<'_, (Line, Vec<TcpStream>)> {
        self.line.lock().unwrap()
    }

    /// Waits while the line is stalled; whether it is open then.
    fn passes(&self) -> bool {
        let line = self.changed.wait_while(self.line(), |(line, _)| *line == Line::Stalled).unwrap();
        line.0 == Line::Open
    }
}

impl Relay {
    pub(crate) fn to(port: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let state = Arc::new(State { line: Mutex::new((Line::Open, Vec::new())), changed: Condvar::new() });
        let (here, accepting) = (listener.local_addr().unwrap().port(), Arc::clone(&state));
        std::thread::spawn(move || {
            for near in listener.incoming() {
                let Ok(near) = near else { return };
                let state = Arc::clone(&accepting);
                std::thread::spawn(move || serve(&near, port, &state));
            }
        });
        Self { port: here, state }
    }

    pub(crate) fn set(&self, to: Line) {
        let mut line = self.state.line();
        line.0 = to;
        if to == Line::Cut {
            for stream in line.1.drain(..) {
                let _ = stream.shutdown(Shutdown::Both); // it may have ended by itself
            }
        }
        self.state.changed.notify_all();
    }
}

fn serve(near: &TcpStream, port: u16, state: &Arc<State>) {
    if !state.passes() {
        return;
    }
    let Ok(far) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)) else { return };
    let _ = (near.set_nodelay(true), far.set_nodelay(true));
    {
        let mut line = state.line();
        if line.0 == Line::Cut {
            return;
        }
        line.1.retain(|stream| stream.peer_addr().is_ok());
        line.1.extend([near.try_clone().unwrap(), far.try_clone().unwrap()]);
    }
    std::thread::scope(|scope| {
        scope.spawn(|| pump(near, &far, state));
        pump(&far, near, state);
    });
}

/// Carries what comes from one end to the other, as long as the line lets it.
fn pump(mut from: &TcpStream, mut to: &TcpStream, state: &State) {
    let mut bytes = [0; 16384];
    while let Ok(length) = from.read(&mut bytes) {
        if length == 0 || !state.passes() || to.write_all(&bytes[..length]).is_err() {
            break;
        }
    }
    let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
}
