//! Every routine of every level this machine has, against f64.
