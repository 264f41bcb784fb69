//! Against a scripted server over real TLS.
