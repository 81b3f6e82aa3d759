//! Compiles the C shim of libubus, where the feature `libubus` asks for it, against the target's own headers.
//!
//! `L3ROAMD_UBUS_INCLUDE` and `L3ROAMD_UBUS_LIB` name the directories of headers and libraries that the compiler does not know by itself.

fn main() {
    println!("cargo::rerun-if-changed=src/openwrt/ubus/libubus/build.rs");
    #[cfg(feature = "libubus")]
    libubus::build();
}

#[cfg(feature = "libubus")]
mod libubus {
    use std::env::var;

    const SHIM: &str = "src/openwrt/ubus/libubus/shim";

    pub fn build() {
        for name in ["L3ROAMD_UBUS_INCLUDE", "L3ROAMD_UBUS_LIB"] {
            println!("cargo::rerun-if-env-changed={name}");
        }
        println!("cargo::rerun-if-changed={SHIM}.c");
        println!("cargo::rerun-if-changed={SHIM}.h");
        let mut shim = cc::Build::new();
        shim.file(format!("{SHIM}.c")).std("gnu11").extra_warnings(true);
        if let Ok(include) = var("L3ROAMD_UBUS_INCLUDE") {
            println!("cargo::rerun-if-changed={include}/libubus.h");
            shim.include(include);
        }
        shim.compile("l3roamd_ubus_shim");
        if let Ok(directory) = var("L3ROAMD_UBUS_LIB") {
            println!("cargo::rerun-if-changed={directory}");
            println!("cargo::rustc-link-search=native={directory}");
            // Where the libraries are not installed, this is for tests.
            println!("cargo::rustc-link-arg=-Wl,-rpath,{directory}");
        }
        println!("cargo::rustc-link-lib=ubus");
        println!("cargo::rustc-link-lib=ubox");
        #[cfg(feature = "bindgen")]
        bindings();
    }

    /// Makes sys/bindings.rs anew, into the build directory.
    #[cfg(feature = "bindgen")]
    fn bindings() {
        let out = std::path::PathBuf::from(var("OUT_DIR").expect("cargo sets it")).join("bindings.rs");
        bindgen::Builder::default()
            .header(format!("{SHIM}.h"))
            .allowlist_item("l3_.*")
            .rust_target(bindgen::RustTarget::stable(85, 0).expect("bindgen knows it"))
            .rust_edition(bindgen::RustEdition::Edition2024)
            .use_core()
            .layout_tests(false)
            .generate_comments(false)
            .generate()
            .expect("shim.h is C")
            .write_to_file(out)
            .expect("the build directory can be written");
    }
}
