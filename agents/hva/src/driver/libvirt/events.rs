//! What the safe binding of libvirt lacks, lifecycle events, the end of a migration and backup jobs: one of the two files of
//! this crate with `unsafe`, see also [`super::stats`].
//!
//! Rule: the loop is registered before the first connection and runs on a thread of its own for the process's life.
//! The callback copies the domain's name and the event and keeps no reference to anything of libvirt's.
#![allow(unsafe_code)]

use std::ffi::CStr;
use std::sync::{Arc, Once, OnceLock};
use virt::connect::Connect;

/// Called with a domain's name when its guest stopped or crashed.
pub type Heard = Arc<dyn Fn(&str) + Send + Sync>;

static LOOP: Once = Once::new();
static READY: OnceLock<bool> = OnceLock::new();

/// Starts the event loop; later calls do nothing. `false`: this libvirt has none, and events will not come.
pub fn start_loop() -> bool {
    LOOP.call_once(|| {
        virt::error::clear_error_callback();
        let registered = virt::event::event_register_default_impl().is_ok();
        let _ = READY.set(registered);
        if registered {
            let turning = std::thread::Builder::new().name("libvirt-events".into());
            let started = turning.spawn(|| {
                loop {
                    if virt::event::event_run_default_impl().is_err() {
                        std::thread::sleep(std::time::Duration::from_millis(100));
                    }
                }
            });
            if let Err(error) = started {
                tracing::warn!(%error, "no thread for libvirt's events");
            }
        }
    });
    READY.get().copied().unwrap_or(false)
}

/// Subscribes on a connection; it ends with the connection.
pub fn subscribe(connection: &Connect, heard: Heard) -> bool {
    let opaque = Box::into_raw(Box::new(heard)).cast::<libc_void>();
    // SAFETY: the cast is libvirt's own convention (VIR_DOMAIN_EVENT_CALLBACK): for LIFECYCLE it calls with the
    // five-argument form. `opaque` is freed by `forget`, which libvirt calls once, when the subscription ends.
    let answer = unsafe {
        let callback: Lifecycle = on_lifecycle;
        let generic: Generic = std::mem::transmute::<Lifecycle, Generic>(callback);
        virt_sys::virConnectDomainEventRegisterAny(
            connection.as_ptr(),
            std::ptr::null_mut(),
            virt_sys::VIR_DOMAIN_EVENT_ID_LIFECYCLE as i32,
            Some(generic),
            opaque,
            Some(forget),
        )
    };
    if answer < 0 {
        // SAFETY: a refused registration does not call `forget`.
        unsafe { forget(opaque) };
    }
    answer >= 0
}

#[allow(non_camel_case_types)]
type libc_void = std::ffi::c_void;
/// Ends what a domain is busy with, such as a migration. Answers whether there was anything.
pub fn abort_job(domain: &virt::domain::Domain) -> bool {
    // SAFETY: the pointer is the domain's own and lives as long as the reference.
    unsafe { virt_sys::virDomainAbortJob(domain.as_ptr()) == 0 }
}

/// Begins a backup job. On `false` libvirt's last error says why not.
pub fn begin_backup(domain: &virt::domain::Domain, xml: &str) -> bool {
    let Ok(xml) = std::ffi::CString::new(xml) else { return false };
    // SAFETY: the pointers are the domain's own and a string's that outlives the call; libvirt copies what it reads.
    unsafe { virt_sys::virDomainBackupBegin(domain.as_ptr(), xml.as_ptr(), std::ptr::null(), 0) == 0 }
}

/// Longest an agent in a guest is waited for at each step; it writes back what its kernel holds meanwhile.
pub const AGENT_SECONDS: i32 = 15;

/// Asks the guest's agent to hold all writing to its file systems (virDomainFSFreeze). `false`: not so, or not in time; then it
/// may still come.
pub fn freeze(domain: &virt::domain::Domain) -> bool {
    // SAFETY: the pointer is the domain's own; no mount points means all of them.
    unsafe {
        virt_sys::virDomainAgentSetResponseTimeout(domain.as_ptr(), AGENT_SECONDS, 0);
        virt_sys::virDomainFSFreeze(domain.as_ptr(), std::ptr::null_mut(), 0, 0) >= 0
    }
}

/// Asks the guest's agent to let its file systems go (virDomainFSThaw). On `false` libvirt's last error says why not.
pub fn thaw(domain: &virt::domain::Domain) -> bool {
    // SAFETY: as above.
    unsafe {
        virt_sys::virDomainAgentSetResponseTimeout(domain.as_ptr(), AGENT_SECONDS, 0);
        virt_sys::virDomainFSThaw(domain.as_ptr(), std::ptr::null_mut(), 0, 0) >= 0
    }
}

/// Whether a backup job of the domain goes on.
pub fn is_backed_up(domain: &virt::domain::Domain) -> bool {
    // SAFETY: the pointer is the domain's own; the text that libvirt allocated is freed once, as its documentation asks.
    unsafe {
        let text = virt_sys::virDomainBackupGetXMLDesc(domain.as_ptr(), 0);
        let found = !text.is_null();
        if found {
            nix::libc::free(text.cast());
        }
        found
    }
}

/// How the last job of a domain ended.
pub enum Ended {
    Completed,
    /// Not so, or libvirt does not know (any more): its number for it.
    Otherwise(i32),
}

/// Reads how the last job of the domain ended; libvirt forgets it then.
pub fn ended_job(domain: &virt::domain::Domain) -> Ended {
    let (mut kind, mut count) = (0, 0);
    let mut parameters: virt_sys::virTypedParameterPtr = std::ptr::null_mut();
    let flags = virt_sys::VIR_DOMAIN_JOB_STATS_COMPLETED;
    // SAFETY: libvirt fills the three places, and what it allocated is freed once.
    let answer = unsafe {
        let answer = virt_sys::virDomainGetJobStats(domain.as_ptr(), &mut kind, &mut parameters, &mut count, flags);
        if answer == 0 {
            virt_sys::virTypedParamsFree(parameters, count);
        }
        answer
    };
    match answer == 0 && kind as u32 == virt_sys::VIR_DOMAIN_JOB_COMPLETED {
        true => Ended::Completed,
        false => Ended::Otherwise(kind),
    }
}

type Lifecycle = unsafe extern "C" fn(virt_sys::virConnectPtr, virt_sys::virDomainPtr, i32, i32, *mut libc_void) -> i32;
type Generic = unsafe extern "C" fn(virt_sys::virConnectPtr, virt_sys::virDomainPtr, *mut libc_void);

unsafe extern "C" fn on_lifecycle(
    _connection: virt_sys::virConnectPtr,
    domain: virt_sys::virDomainPtr,
    event: i32,
    _detail: i32,
    opaque: *mut libc_void,
) -> i32 {
    let ended = [virt_sys::VIR_DOMAIN_EVENT_STOPPED as i32, virt_sys::VIR_DOMAIN_EVENT_CRASHED as i32];
    if opaque.is_null() || domain.is_null() || !ended.contains(&event) {
        return 0;
    }
    // SAFETY: `opaque` is the box of `subscribe`, alive until `forget`; the name lives as long as the domain, which
    // libvirt holds during the call.
    unsafe {
        let heard = &*opaque.cast::<Heard>();
        let name = virt_sys::virDomainGetName(domain);
        if !name.is_null() {
            let name = CStr::from_ptr(name).to_string_lossy().into_owned();
            // A panic must not cross into C.
            let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| heard(&name)));
        }
    }
    0
}

unsafe extern "C" fn forget(opaque: *mut libc_void) {
    // SAFETY: made by `Box::into_raw` in `subscribe`, freed once.
    drop(unsafe { Box::from_raw(opaque.cast::<Heard>()) });
}
