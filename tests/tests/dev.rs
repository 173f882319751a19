//! x
#[path = "../it"]
mod it {
    mod capabilities;
    mod context;
    mod hostile;
    mod limits;
}
