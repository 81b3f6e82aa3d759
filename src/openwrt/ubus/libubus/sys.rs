//! The unsafe side of libubus: the shim's functions, made safe, and the trampolines that it calls.
#![allow(unsafe_code)]

/// Made by bindgen from shim.h: build with the feature `bindgen`, and copy.
#[allow(non_camel_case_types, missing_docs)]
mod bindings;

use std::cell::RefCell;
use std::collections::VecDeque;
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::os::fd::RawFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::{self, NonNull};
use std::slice;
use std::sync::atomic::{AtomicBool, Ordering};

use super::super::client::{Found, Heard};
use super::super::{MethodSpec, Status, blobmsg};

/// libubus keeps its buffers in static variables: one connection in a process.
static TAKEN: AtomicBool = AtomicBool::new(false);

/// A connection. Neither `Send` nor `Sync`, for it holds a raw pointer.
pub(super) struct Connection {
    bus: NonNull<bindings::l3_bus>,
    inbox: Box<Inbox>,
    /// What libubus has pointers to.
    names: Vec<CString>,
}

/// Where the trampolines put what they are told. Borrowed only while no C code runs, or by the trampolines themselves.
#[derive(Default)]
struct Inbox {
    heard: RefCell<VecDeque<Heard<Request>>>,
    found: RefCell<Vec<Found>>,
}

/// A call from outside that is not answered yet.
#[derive(Debug)]
pub(crate) struct Request(NonNull<bindings::l3_request>);

impl Drop for Request {
    fn drop(&mut self) {
        // SAFETY: the shim gave it away, and nobody else has it.
        unsafe { bindings::l3_request_free(self.0.as_ptr()) };
    }
}

impl Connection {
    /// Connects. `None` where that fails, or where there is a connection already.
    pub(super) fn open(path: Option<&CStr>) -> Option<Self> {
        if TAKEN.swap(true, Ordering::AcqRel) {
            return None;
        }
        let inbox = Box::<Inbox>::default();
        let path = path.map_or(ptr::null(), CStr::as_ptr);
        let owner = ptr::from_ref::<Inbox>(&inbox).cast_mut().cast();
        // SAFETY: the path is null or ends with NUL; the callbacks are copied; the owner stays where it is until the connection is freed.
        let bus = unsafe { bindings::l3_bus_connect(path, &CALLBACKS, owner) };
        let Some(bus) = NonNull::new(bus) else {
            TAKEN.store(false, Ordering::Release);
            return None;
        };
        Some(Self { bus, inbox, names: Vec::new() })
    }

    pub(super) fn offer(&mut self, name: &str, methods: &[MethodSpec]) -> Result<(), Status> {
        let mut texts = Vec::new();
        let mut text = |text: &str| {
            let text = CString::new(text).map_err(|_| Status::InvalidArgument)?;
            texts.push(text);
            Ok(texts.last().map_or(ptr::null(), |text| text.as_ptr()))
        };
        let name = text(name)?;
        let mut arguments = Vec::new();
        for method in methods {
            let list: Result<Vec<_>, Status> = method
                .arguments
                .iter()
                .map(|(name, kind)| {
                    Ok(bindings::l3_argument { name: text(name)?, type_: blobmsg::type_number(*kind) })
                })
                .collect();
            arguments.push((text(method.name)?, list?));
        }
        let methods: Vec<_> = arguments
            .iter()
            .map(|(name, list)| bindings::l3_method {
                name: *name,
                arguments: list.as_ptr(),
                count: list.len(),
            })
            .collect();
        // The texts lie on the heap: moving their owners does not move them.
        self.names.extend(texts);
        // SAFETY: the arrays have as many elements as is said and are read during the call; the names live as long as the connection.
        check(unsafe { bindings::l3_bus_offer(self.bus.as_ptr(), name, methods.as_ptr(), methods.len()) })
    }

    pub(super) fn listen(&mut self, event: &CStr) -> Result<(), Status> {
        // SAFETY: the text ends with NUL and is read during the call.
        check(unsafe { bindings::l3_bus_listen(self.bus.as_ptr(), event.as_ptr()) })
    }

    pub(super) fn lookup(&mut self, path: &CStr) -> Result<Vec<Found>, Status> {
        self.inbox.found.borrow_mut().clear();
        // SAFETY: the text ends with NUL and is read during the call.
        check(unsafe { bindings::l3_bus_lookup(self.bus.as_ptr(), path.as_ptr()) })?;
        Ok(self.inbox.found.take())
    }

    pub(super) fn subscribe(&mut self, object: u32) -> Result<u32, Status> {
        let mut subscription = 0;
        // SAFETY: the pointer is to a number that the shim may write.
        check(unsafe { bindings::l3_bus_subscribe(self.bus.as_ptr(), object, &mut subscription) })?;
        Ok(subscription)
    }

    pub(super) fn unsubscribe(&mut self, subscription: u32) {
        // SAFETY: the connection is ours.
        unsafe { bindings::l3_bus_unsubscribe(self.bus.as_ptr(), subscription) };
    }

    pub(super) fn call(&mut self, key: u32, object: u32, method: &CStr, data: &[u8]) -> Result<(), Status> {
        let bytes = data.as_ptr().cast();
        // SAFETY: the text ends with NUL, the data are as long as is said; both are read during the call.
        let status = unsafe {
            bindings::l3_bus_call(self.bus.as_ptr(), key, object, method.as_ptr(), bytes, data.len())
        };
        check(status)
    }

    pub(super) fn abandon(&mut self, key: u32) {
        // SAFETY: the connection is ours.
        unsafe { bindings::l3_bus_abandon(self.bus.as_ptr(), key) };
    }

    pub(super) fn answer(&mut self, request: Request, outcome: Result<&[u8], Status>) {
        let data = outcome.unwrap_or_default();
        let status =
            outcome.map_or_else(|status| c_int::try_from(status.code()).unwrap_or(c_int::MAX), |_| 0);
        let pointer = request.0.as_ptr();
        // The shim frees it.
        std::mem::forget(request);
        let bytes = data.as_ptr().cast();
        // SAFETY: the request is of this connection or of one that is lost, and ours alone; the data are as long as is said.
        unsafe { bindings::l3_bus_answer(self.bus.as_ptr(), pointer, status, bytes, data.len()) };
    }

    pub(super) fn notify(&mut self, name: &CStr, data: &[u8]) {
        let bytes = data.as_ptr().cast();
        // SAFETY: the text ends with NUL, the data are as long as is said; both are read during the call.
        unsafe { bindings::l3_bus_notify(self.bus.as_ptr(), name.as_ptr(), bytes, data.len()) };
    }

    pub(super) fn work(&mut self) {
        // SAFETY: the connection is ours.
        unsafe { bindings::l3_bus_work(self.bus.as_ptr()) };
    }

    pub(super) fn heard(&mut self) -> Option<Heard<Request>> {
        self.inbox.heard.borrow_mut().pop_front()
    }

    pub(super) fn is_lost(&self) -> bool {
        // SAFETY: the connection is ours.
        unsafe { bindings::l3_bus_is_lost(self.bus.as_ptr()) }
    }

    pub(super) fn fd(&self) -> RawFd {
        // SAFETY: the connection is ours.
        unsafe { bindings::l3_bus_fd(self.bus.as_ptr()) }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        // SAFETY: the connection is ours, and nobody has it afterwards; inbox and names are dropped later.
        unsafe { bindings::l3_bus_free(self.bus.as_ptr()) };
        TAKEN.store(false, Ordering::Release);
    }
}

fn check(status: c_int) -> Result<(), Status> {
    let code = u32::try_from(status).unwrap_or(Status::UnknownError.code());
    Status::from_code(code).map_or(Ok(()), Err)
}

const CALLBACKS: bindings::l3_callbacks = bindings::l3_callbacks {
    called: Some(called),
    subscribed: Some(subscribed),
    notified: Some(notified),
    unsubscribed: Some(unsubscribed),
    event: Some(event),
    replied: Some(replied),
    found: Some(found),
};

/// Puts something into the inbox. A panic does not get into C.
///
/// # Safety
/// `owner` is that of [`Connection::open`], and its inbox is not borrowed.
unsafe fn put(owner: *mut c_void, fill: impl FnOnce(&Inbox)) {
    // SAFETY: the owner is the inbox of a connection that is alive, for it is in a call; on this thread, for it cannot leave it.
    let inbox = unsafe { &*owner.cast_const().cast::<Inbox>() };
    if catch_unwind(AssertUnwindSafe(|| fill(inbox))).is_err() {
        tracing::error!("ubus: a message from libubus is lost by a panic");
    }
}

/// Copies bytes from C.
///
/// # Safety
/// There are as many as is said, or none.
unsafe fn bytes(data: *const c_void, length: usize) -> Vec<u8> {
    if data.is_null() || length == 0 {
        return Vec::new();
    }
    // SAFETY: as this function demands.
    unsafe { slice::from_raw_parts(data.cast::<u8>(), length) }.to_vec()
}

/// Copies a text from C.
///
/// # Safety
/// It ends with NUL, or is null.
unsafe fn text(text: *const c_char) -> String {
    if text.is_null() {
        return String::new();
    }
    // SAFETY: as this function demands.
    unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
}

/// # Safety
/// As shim.h says of `called`.
unsafe extern "C" fn called(
    owner: *mut c_void,
    request: *mut bindings::l3_request,
    method: usize,
    data: *const c_void,
    length: usize,
) {
    // SAFETY: what shim.h says of the arguments.
    unsafe {
        let arguments = bytes(data, length);
        let Some(request) = NonNull::new(request).map(Request) else { return };
        put(owner, |inbox| inbox.heard.borrow_mut().push_back(Heard::Call { request, method, arguments }));
    }
}

/// # Safety
/// As shim.h says of `subscribed`.
unsafe extern "C" fn subscribed(owner: *mut c_void, subscribed: bool) {
    // SAFETY: what shim.h says of the arguments.
    unsafe { put(owner, |inbox| inbox.heard.borrow_mut().push_back(Heard::Subscribed(subscribed))) };
}

/// # Safety
/// As shim.h says of `notified`.
unsafe extern "C" fn notified(
    owner: *mut c_void,
    subscription: u32,
    name: *const c_char,
    data: *const c_void,
    length: usize,
) {
    // SAFETY: what shim.h says of the arguments.
    unsafe {
        let (name, data) = (text(name), bytes(data, length));
        put(owner, |inbox| {
            inbox.heard.borrow_mut().push_back(Heard::Notification { subscription, name, data })
        });
    }
}

/// # Safety
/// As shim.h says of `unsubscribed`.
unsafe extern "C" fn unsubscribed(owner: *mut c_void, subscription: u32) {
    // SAFETY: what shim.h says of the arguments.
    unsafe { put(owner, |inbox| inbox.heard.borrow_mut().push_back(Heard::Unsubscribed { subscription })) };
}

/// # Safety
/// As shim.h says of `event`.
unsafe extern "C" fn event(owner: *mut c_void, name: *const c_char, data: *const c_void, length: usize) {
    // SAFETY: what shim.h says of the arguments.
    unsafe {
        let (name, data) = (text(name), bytes(data, length));
        put(owner, |inbox| inbox.heard.borrow_mut().push_back(Heard::Event { name, data }));
    }
}

/// # Safety
/// As shim.h says of `replied`.
unsafe extern "C" fn replied(
    owner: *mut c_void,
    key: u32,
    status: c_int,
    data: *const c_void,
    length: usize,
) {
    // SAFETY: what shim.h says of the arguments.
    unsafe {
        let data = bytes(data, length);
        let outcome = check(status).map(|()| data);
        put(owner, |inbox| inbox.heard.borrow_mut().push_back(Heard::Reply { key, outcome }));
    }
}

/// # Safety
/// As shim.h says of `found`.
unsafe extern "C" fn found(owner: *mut c_void, object: u32, path: *const c_char) {
    // SAFETY: what shim.h says of the arguments.
    unsafe {
        let path = text(path);
        put(owner, |inbox| inbox.found.borrow_mut().push(Found { id: object, path }));
    }
}
