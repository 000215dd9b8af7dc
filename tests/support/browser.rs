//! A real browser: Chromium without a window, told what to do over a pipe in the DevTools protocol
//! (https://chromedevtools.github.io/devtools-protocol/). It remembers whatever a page complained about.

use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader, PipeReader, PipeWriter, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};

use base64::Engine as _;
use serde_json::{Value, json};

/// One window of a browser of its own.
pub struct Chromium {
    child: Child,
    commands: PipeWriter,
    answers: BufReader<PipeReader>,
    events: VecDeque<Value>,
    /// Errors of scripts, refused resources, broken rules of the content security policy.
    complaints: Vec<String>,
    session: Option<String>,
    next: u64,
    _profile: tempfile::TempDir,
}

impl Chromium {
    /// `.ci/packages test` installs it.
    pub fn start() -> Chromium {
        let profile = tempfile::tempdir().unwrap();
        let (command_reader, commands) = std::io::pipe().unwrap();
        let (answers, answer_writer) = std::io::pipe().unwrap();
        let mut command = Command::new("chromium");
        command.args(["--headless=new", "--no-sandbox", "--remote-debugging-pipe", "--disable-gpu", "--no-first-run", "--hide-scrollbars"]);
        command.args(["--disable-dev-shm-usage", "--disable-background-networking", "--disable-component-update"]);
        command.arg(format!("--user-data-dir={}", profile.path().display())).arg("about:blank");
        command.env("HOME", profile.path()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let (from, to) = (command_reader.as_raw_fd(), answer_writer.as_raw_fd());
        // SAFETY: only system calls that are allowed between fork and exec, on descriptors this process holds open
        // until `spawn` has returned. Both are moved out of the way first, since one of them may be number 3 or 4.
        unsafe {
            command.pre_exec(move || {
                let (from, to) = (libc::fcntl(from, libc::F_DUPFD, 10), libc::fcntl(to, libc::F_DUPFD, 10));
                let done = from >= 0 && to >= 0 && libc::dup2(from, 3) == 3 && libc::dup2(to, 4) == 4;
                if done { Ok(()) } else { Err(std::io::Error::last_os_error()) }
            });
        }
        let child = command.spawn().expect("chromium is missing; `bash .ci/packages test` installs it");
        let mut browser = Chromium {
            child,
            commands,
            answers: BufReader::new(answers),
            events: VecDeque::new(),
            complaints: Vec::new(),
            session: None,
            next: 0,
            _profile: profile,
        };
        let target = browser.call("Target.createTarget", json!({ "url": "about:blank" }));
        let attached = browser.call("Target.attachToTarget", json!({ "targetId": target["targetId"], "flatten": true }));
        browser.session = Some(attached["sessionId"].as_str().unwrap().to_owned());
        for domain in ["Page", "Runtime", "Log"] {
            browser.call(&format!("{domain}.enable"), json!({}));
        }
        browser.size(1280, 900);
        browser
    }

    /// Sends a command and waits for its answer; events that come before it are kept.
    pub fn call(&mut self, method: &str, params: Value) -> Value {
        self.try_call(method, params).unwrap_or_else(|error| panic!("{method}: {error}"))
    }

    fn try_call(&mut self, method: &str, params: Value) -> Result<Value, Value> {
        self.next += 1;
        let mut message = json!({ "id": self.next, "method": method, "params": params });
        if let Some(session) = &self.session {
            message["sessionId"] = json!(session);
        }
        self.commands.write_all(format!("{message}\0").as_bytes()).unwrap();
        loop {
            let answer = self.read();
            if answer["id"] == self.next {
                return answer.get("error").map_or_else(|| Ok(answer["result"].clone()), |error| Err(error.clone()));
            }
            self.events.push_back(answer);
        }
    }

    fn read(&mut self) -> Value {
        let mut bytes = Vec::new();
        self.answers.read_until(0, &mut bytes).unwrap();
        assert_eq!(bytes.pop(), Some(0), "the browser has ended");
        let message: Value = serde_json::from_slice(&bytes).unwrap();
        match message["method"].as_str() {
            Some("Runtime.exceptionThrown") => self.complaints.push(message["params"]["exceptionDetails"].to_string()),
            Some("Log.entryAdded") if message["params"]["entry"]["level"] == "error" => {
                self.complaints.push(message["params"]["entry"].to_string());
            }
            _ => {}
        }
        message
    }

    /// Waits for an event; those before it are forgotten.
    fn wait(&mut self, method: &str) {
        loop {
            let event = self.events.pop_front().unwrap_or_else(|| self.read());
            if event["method"] == method {
                return;
            }
        }
    }

    /// Opens a page and waits until all of it is there.
    pub fn open(&mut self, url: &str) {
        self.events.clear();
        let answer = self.call("Page.navigate", json!({ "url": url }));
        assert!(answer.get("errorText").is_none(), "{url}: {answer}");
        self.wait("Page.loadEventFired");
    }

    /// What a script answers in the page.
    pub fn evaluate(&mut self, script: &str) -> Value {
        let answer = self.call("Runtime.evaluate", json!({ "expression": script, "awaitPromise": true, "returnByValue": true }));
        assert!(answer.get("exceptionDetails").is_none(), "{script}: {answer}");
        answer["result"]["value"].clone()
    }

    /// Whether a script says yes; no while one page gives way to another.
    pub fn holds(&mut self, script: &str) -> bool {
        let answer = self.try_call("Runtime.evaluate", json!({ "expression": script, "returnByValue": true }));
        answer.is_ok_and(|answer| answer.get("exceptionDetails").is_none() && answer["result"]["value"] == json!(true))
    }

    pub fn text(&mut self) -> String {
        self.evaluate("document.body.innerText").as_str().unwrap().to_owned()
    }

    /// Fills fields by name, sends their form as a click on its button does, and waits for the next page.
    pub fn submit(&mut self, fields: &[(&str, &str)]) {
        let mut script = String::from("(() => { let form; ");
        for (name, value) in fields {
            script += &format!("form = document.getElementsByName({})[0].form; ", json!(name));
            script += &format!("form.elements[{}].value = {}; ", json!(name), json!(value));
        }
        script += "setTimeout(() => form.requestSubmit(), 0); })()";
        self.events.clear();
        self.evaluate(&script);
        self.wait("Page.loadEventFired");
    }

    /// The window's inside, in pixels.
    pub fn size(&mut self, width: u32, height: u32) {
        let metrics = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        self.call("Emulation.setDeviceMetricsOverride", metrics);
    }

    /// `light` or `dark`, as the reader's system asks.
    pub fn scheme(&mut self, scheme: &str) {
        self.call("Emulation.setEmulatedMedia", json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] }));
    }

    pub fn scripts(&mut self, on: bool) {
        self.call("Emulation.setScriptExecutionDisabled", json!({ "value": !on }));
    }

    /// A picture of the whole page, as PNG.
    pub fn picture(&mut self) -> Vec<u8> {
        let answer = self.call("Page.captureScreenshot", json!({ "format": "png", "captureBeyondViewport": true }));
        base64::engine::general_purpose::STANDARD.decode(answer["data"].as_str().unwrap()).unwrap()
    }

    /// What pages complained about since the last look.
    pub fn complaints(&mut self) -> Vec<String> {
        // Whatever was said before this answer has been read when it comes.
        self.evaluate("0");
        std::mem::take(&mut self.complaints)
    }
}

impl Drop for Chromium {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
