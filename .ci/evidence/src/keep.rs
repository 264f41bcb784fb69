//! The directory.

use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::{Kind, VARIABLE};

/// Where evidence is kept.
#[derive(Debug)]
pub struct Evidence {
    secrets: PathBuf,
    output: PathBuf,
    count: AtomicU32,
}

impl Evidence {
    /// This run's, if it keeps any.
    pub fn get() -> Option<&'static Self> {
        #[expect(clippy::disallowed_methods, reason = "whether evidence is kept is a matter of how the tests are run")]
        static OURS: LazyLock<Option<Evidence>> = LazyLock::new(|| {
            let directory = std::env::var_os(VARIABLE).filter(|directory| !directory.is_empty())?;
            Some(Evidence::at(Path::new(&directory)))
        });
        OURS.as_ref()
    }

    /// In this directory, which is made if it is missing.
    ///
    /// # Panics
    /// If it cannot be made.
    pub fn at(directory: &Path) -> Self {
        let [secrets, output] = ["secrets", "output"].map(|name| directory.join(name));
        for folder in [&secrets, &output] {
            std::fs::create_dir_all(folder).expect("the directory of evidence can be made");
        }
        Self { secrets, output, count: AtomicU32::new(0) }
    }

    /// Notes a secret.
    ///
    /// # Panics
    /// If its file cannot be written.
    pub fn secret(&self, kind: Kind, value: &str) {
        let mut line = format!("{}\t", kind.as_str());
        for byte in value.bytes() {
            let _ = write!(line, "{byte:02x}"); // a String takes everything
        }
        line.push('\n');
        // One write in append mode: lines of threads and processes never mix.
        let file = OpenOptions::new().append(true).create(true).mode(0o600).open(self.secrets.join("noted"));
        file.and_then(|mut file| file.write_all(line.as_bytes())).expect("the file of secrets can be written");
    }

    /// Keeps something that was printed.
    ///
    /// # Panics
    /// If its file cannot be written.
    pub fn text(&self, name: &str, text: &[u8]) {
        self.file(name).write_all(text).expect("the evidence can be written");
    }

    /// A new file for what prints under this name.
    ///
    /// # Panics
    /// If it cannot be made.
    pub fn file(&self, name: &str) -> File {
        let count = self.count.fetch_add(1, Ordering::Relaxed);
        let path = self.output.join(format!("{name}.{}.{count}", std::process::id()));
        File::create_new(path).expect("a file of evidence can be made")
    }
}

/// A stream of which everything that is read is kept.
#[derive(Debug)]
pub struct Tee<R> {
    stream: R,
    file: Option<File>,
}

impl<R: Read> Tee<R> {
    pub(crate) fn new(stream: R, file: Option<File>) -> Self {
        Self { stream, file }
    }
}

impl<R: Read> Read for Tee<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.stream.read(buffer)?;
        if let Some(file) = &mut self.file {
            file.write_all(&buffer[..length])?;
        }
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_and_output_are_kept_apart() {
        let directory = tempfile::tempdir().unwrap();
        let evidence = Evidence::at(directory.path());
        evidence.secret(Kind::Mac, "0f0f");
        evidence.secret(Kind::Csrf, "a");
        let mut passed = String::new();
        Tee::new(&b"said"[..], Some(evidence.file("server"))).read_to_string(&mut passed).unwrap();
        assert_eq!(passed, "said");
        let read = |path: &Path| std::fs::read_to_string(path).unwrap();
        assert_eq!(read(&directory.path().join("secrets/noted")), "host mac\t30663066\ncsrf token\t61\n");
        let kept = std::fs::read_dir(directory.path().join("output")).unwrap().next().unwrap().unwrap();
        assert!(kept.file_name().to_str().unwrap().starts_with("server."));
        assert_eq!(read(&kept.path()), "said");
    }
}
