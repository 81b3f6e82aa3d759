//! A web server in the place of uhttpd and rpcd: files, LuCI's page around a view, and JSON-RPC to ubus for those who are logged in.
//!
//! Sessions stand for logins: the page's address says which one, `?session=NAME`.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};

use crate::access::{self, Login, Rules};
use crate::peer::Peer;
use crate::router::{Answer, Router};

/// The longest body of a request that is read.
const LONGEST: usize = 1 << 20;

/// A function of method and arguments; `None` where the object is not there.
pub type Script = Box<dyn Fn(&str, &Value) -> Option<Answer> + Send>;

/// Who answers for the object l3roamd.
pub enum Daemon {
    /// Whoever is on this bus.
    Bus(PathBuf),
    /// A play.
    Script(Script),
}

/// What requests find.
pub struct World {
    /// The object l3roamd.
    pub daemon: Daemon,
    /// The rest.
    pub router: Router,
    /// What was refused: session, object, method.
    pub refused: Vec<String>,
    /// Calls of l3roamd, by method.
    pub calls: BTreeMap<String, usize>,
    /// The view at /, if it is shown to whoever comes, who is then the administrator.
    pub home: Option<&'static str>,
}

/// A running bridge.
pub struct Bridge {
    /// Where it listens, on loopback.
    pub port: u16,
    world: Arc<Mutex<World>>,
}

/// LuCI as it is installed, where there is one.
pub fn real_luci() -> Option<PathBuf> {
    let path = PathBuf::from(std::env::var_os("L3ROAMD_LUCI")?);
    path.join("modules/luci-base/htdocs/luci-static/resources/luci.js").is_file().then_some(path)
}

/// Where the files below /luci-static are, in the order in which they are looked for.
fn roots() -> Vec<PathBuf> {
    let mut roots = vec![access::package().join("htdocs")];
    match real_luci() {
        Some(luci) => roots.extend(
            ["modules/luci-base/htdocs", "themes/luci-theme-bootstrap/htdocs"].map(|path| luci.join(path)),
        ),
        None => roots.push(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/luci/standin")),
    }
    roots
}

impl Bridge {
    /// Starts one.
    pub fn start(daemon: Daemon) -> Self {
        Self::serve(TcpListener::bind("127.0.0.1:0").expect("a port"), daemon, None)
    }

    /// The same on a socket that listens; with a view at / for everybody.
    pub fn serve(listener: TcpListener, daemon: Daemon, home: Option<&'static str>) -> Self {
        let port = listener.local_addr().expect("an address").port();
        let (router, refused, calls) = (Router::default(), Vec::new(), BTreeMap::new());
        let world = World { daemon, router, refused, calls, home };
        let world = Arc::new(Mutex::new(world));
        let shared = Arc::clone(&world);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let world = Arc::clone(&shared);
                std::thread::spawn(move || converse(stream, &world));
            }
        });
        Self { port, world }
    }

    /// What requests find, to look at and to change.
    pub fn world(&self) -> MutexGuard<'_, World> {
        lock(&self.world)
    }

    /// The address of a view.
    pub fn page(&self, path: &str, session: &str) -> String {
        format!("http://127.0.0.1:{}/cgi-bin/luci/{path}?session={session}", self.port)
    }
}

fn lock(world: &Mutex<World>) -> MutexGuard<'_, World> {
    world.lock().unwrap_or_else(PoisonError::into_inner)
}

fn login(session: &str) -> Option<Login> {
    Some(match session {
        "administrator" => Login::administrator(),
        "reader" => Login::reader(),
        "stranger" => Login::stranger(),
        _ => return None,
    })
}

/// One connection: requests until the browser closes it.
fn converse(stream: TcpStream, world: &Mutex<World>) {
    let mut reader = BufReader::new(stream.try_clone().expect("one socket, two names"));
    let mut stream = stream;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or(0) == 0 {
            return;
        }
        let mut length = 0;
        loop {
            let mut header = String::new();
            if reader.read_line(&mut header).unwrap_or(0) == 0 || header == "\r\n" {
                break;
            }
            if let Some(value) = header.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap_or(0).min(LONGEST);
            }
        }
        let mut body = vec![0; length];
        if reader.read_exact(&mut body).is_err() {
            return;
        }
        let target = line.split(' ').nth(1).unwrap_or("/");
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let (status, kind, content) = answer(path, query, &body, world);
        let head = format!(
            "HTTP/1.1 {status} -\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nCache-Control: no-store\r\n\r\n",
            content.len()
        );
        if stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&content)).is_err() {
            return;
        }
    }
}

fn answer(path: &str, query: &str, body: &[u8], world: &Mutex<World>) -> (u16, &'static str, Vec<u8>) {
    let home = lock(world).home;
    match path {
        "/ubus/" | "/ubus" => {
            let request: Value = serde_json::from_slice(body).unwrap_or(Value::Null);
            let reply = match &request {
                Value::Array(calls) => Value::Array(calls.iter().map(|call| rpc(call, world)).collect()),
                call => rpc(call, world),
            };
            (200, "application/json", reply.to_string().into_bytes())
        }
        "/favicon.ico" => (200, "image/x-icon", Vec::new()),
        "/cgi-bin/luci/admin/menu" => (200, "application/json", menu().to_string().into_bytes()),
        _ if path.starts_with("/cgi-bin/luci/admin/translations/") => {
            (200, "text/javascript", b"window.TR={};".to_vec())
        }
        _ if path.starts_with("/luci-static/") => static_file(path),
        _ => match (path.strip_prefix("/cgi-bin/luci/"), home) {
            (Some(view), None) => page(view, session(query).unwrap_or_default()),
            (Some(view), Some(_)) => page(view, session(query).unwrap_or("administrator")),
            (None, Some(home)) if path == "/" => page(home, "administrator"),
            (None, _) => (404, "text/plain", b"nothing here".to_vec()),
        },
    }
}

fn static_file(path: &str) -> (u16, &'static str, Vec<u8>) {
    let kind = match path.rsplit('.').next() {
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        _ => "application/octet-stream",
    };
    let safe = !path.split('/').any(|part| part == "..");
    let found = roots().into_iter().find_map(|root| std::fs::read(root.join(&path[1..])).ok());
    match found.filter(|_| safe) {
        Some(content) => (200, kind, content),
        None => (404, "text/plain", b"no such file".to_vec()),
    }
}

/// The app's entries of the menu as LuCI hands them to themes.
fn menu() -> Value {
    let mut root = json!({ "satisfied": true, "title": "root", "children": {} });
    let Value::Object(entries) = access::file("usr/share/luci/menu.d/luci-app-l3roamd.json") else {
        panic!("entries")
    };
    for (path, entry) in entries {
        let mut node = &mut root;
        for name in path.split('/') {
            node = &mut node["children"][name];
            if node.is_null() {
                *node = json!({ "satisfied": true, "title": name, "order": 1, "action": { "type": "firstchild" }, "children": {} });
            }
        }
        node["title"] = entry["title"].clone();
        node["action"] = entry["action"].clone();
    }
    root
}

fn session(query: &str) -> Option<&str> {
    query.split('&').find_map(|word| word.strip_prefix("session="))
}

/// LuCI's page around a view, where the login may see it.
fn page(path: &str, session: &str) -> (u16, &'static str, Vec<u8>) {
    let entry = access::file("usr/share/luci/menu.d/luci-app-l3roamd.json")[path].clone();
    let Some(view) = entry["action"]["path"].as_str() else {
        return (404, "text/html", format!("<h1>another page of LuCI: {path}</h1>").into_bytes());
    };
    let granted = login(session).and_then(|login| login.app());
    let Some(write) = granted else { return (403, "text/html", b"<h1>Forbidden</h1>".to_vec()) };
    let parts: Vec<&str> = path.split('/').collect();
    let environment = json!({
        "media": "/luci-static/bootstrap", "resource": "/luci-static/resources", "scriptname": "/cgi-bin/luci",
        "pathinfo": format!("/{path}"), "documentroot": "/www", "requestpath": parts, "dispatchpath": parts,
        "pollinterval": 5, "ubuspath": "/ubus/", "sessionid": session, "token": "0",
        "nodespec": { "title": entry["title"], "satisfied": true, "readonly": !write },
        "apply_rollback": 90, "apply_holdoff": 4, "apply_timeout": 5, "apply_display": 1.5,
    });
    let menu = if real_luci().is_some() { "<script>L.require('menu-bootstrap')</script>" } else { "" };
    let page = format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>L3 Roaming</title>\
         <script>var dark = matchMedia('(prefers-color-scheme: dark)').matches;\
         document.documentElement.setAttribute('data-darkmode', dark);</script>\
         <meta name=\"viewport\" content=\"initial-scale=1.0\">\
         <link rel=\"stylesheet\" href=\"/luci-static/bootstrap/cascade.css\">\
         <link rel=\"stylesheet\" media=\"only screen and (max-device-width: 854px)\" href=\"/luci-static/bootstrap/mobile.css\">\
         <script src=\"/cgi-bin/luci/admin/translations/en\"></script>\
         <script src=\"/luci-static/resources/cbi.js\"></script></head>\
         <body class=\"lang_en\" data-page=\"{}\"><header><a class=\"brand\" href=\"/\">node</a>\
         <ul class=\"nav\" id=\"topmenu\" style=\"display:none\"></ul><div id=\"indicators\" class=\"pull-right\"></div></header>\
         <div id=\"maincontent\" class=\"container\"><div id=\"tabmenu\" style=\"display:none\"></div>\
         <script src=\"/luci-static/resources/luci.js\"></script><script>L = new LuCI({environment});</script>\
         <div id=\"view\"><div class=\"spinning\">Loading</div><script>\
         L.require('ui').then(function(ui) {{ ui.instantiateView('{view}'); }});</script></div></div>\
         <footer><ul id=\"modemenu\" style=\"display:none\"></ul></footer>{menu}</body></html>",
        parts.join("-")
    );
    (200, "text/html; charset=utf-8", page.into_bytes())
}

/// One call, as uhttpd's ubus plugin answers it.
fn rpc(call: &Value, world: &Mutex<World>) -> Value {
    let id = &call["id"];
    let error = |code: i32, message: &str| json!({ "jsonrpc": "2.0", "id": id, "error": { "code": code, "message": message } });
    let success = |result: Value| json!({ "jsonrpc": "2.0", "id": id, "result": result });
    if call["method"] == "list" {
        return success(json!({}));
    }
    let text = |index: usize| call["params"][index].as_str().unwrap_or_default();
    let (session, object, method) = (text(0), text(1), text(2));
    let rules = Rules::new();
    let Some(login) = login(session) else { return error(-32002, "Access denied") };
    let mut arguments = call["params"][3].clone();
    if object == "session" && method == "access" {
        let text = |name: &str| arguments[name].as_str().unwrap_or_default();
        let access = match text("scope") {
            "ubus" => rules.may_call(&login, text("object"), text("function")),
            "uci" => rules.may_configure(&login, text("object"), text("function") == "write"),
            _ => false,
        };
        return success(json!([0, { "access": access }]));
    }
    let mut world = lock(world);
    if !rules.may_call(&login, object, method) {
        world.refused.push(format!("{session}: {object} {method}"));
        return error(-32002, "Access denied");
    }
    if object == "uci" && arguments["config"].is_string() {
        let config = arguments["config"].as_str().unwrap_or_default();
        if !rules.may_configure(&login, config, method != "get") {
            world.refused.push(format!("{session}: uci {method} {config}"));
            return success(json!([6]));
        }
    }
    // As uhttpd does.
    arguments["ubus_rpc_session"] = session.into();
    let answer = if object == "l3roamd" {
        *world.calls.entry(method.to_owned()).or_insert(0) += 1;
        match &world.daemon {
            Daemon::Script(script) => script(method, &arguments),
            Daemon::Bus(socket) => {
                let socket = socket.clone();
                // A search takes seconds, in which others are served.
                drop(world);
                bus(&socket, method, &arguments)
            }
        }
    } else {
        world.router.call(object, method, &arguments)
    };
    match answer {
        None => error(-32000, "Object not found"),
        Some(Ok(reply)) => success(json!([0, reply])),
        Some(Err(status)) => success(json!([status])),
    }
}

fn bus(socket: &Path, method: &str, arguments: &Value) -> Option<Answer> {
    let mut peer = Peer::new(socket);
    peer.lookup("l3roamd")?;
    Some(peer.call("l3roamd", method, arguments).map(Value::Object))
}
