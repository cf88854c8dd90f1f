//! One delivery, whose kernel is [`HeapMapping`]'s page table.

#[path = "../../../src/barrier/delivery/interface.rs"]
mod interface;

pub use interface::Delivery;

use crate::error::Error;
use crate::mapping::HeapMapping;
use crate::sys::Errno;
use crate::unit::{Bytes, PAGE_SIZE, PageRange};
use std::sync::Arc;

#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum DeliveryKind {
    Model,
}

#[derive(Debug)]
pub struct Kernel(pub Arc<HeapMapping>);

impl Delivery for Kernel {
    fn kind(&self) -> DeliveryKind {
        DeliveryKind::Model
    }

    fn arm(&self, pages: PageRange) -> Result<(), Error> {
        self.0.protect(pages, true);
        Ok(())
    }

    fn open(&self, pages: PageRange) -> Result<(), Errno> {
        self.0.protect(pages, false);
        Ok(())
    }

    fn give_up(&self) -> Result<(), Errno> {
        let Bytes(len) = self.0.half();
        self.0.protect(PageRange::new(0, (len / PAGE_SIZE) as u32), false);
        Ok(())
    }

    fn begin_anew(&self) -> Result<(), Errno> {
        Ok(())
    }
}
