//! For stores around another: what they do not care about.

/// Implements [`Log`](crate::store::Log) and [`Leases`](crate::store::Leases) by handing everything to a field:
/// `forward_log!(Counted => inner)`, or with parameters `forward_log!([S: Store] Counted<S> => inner)`.
#[macro_export]
macro_rules! forward_log {
    ([$($generics:tt)*] $type:ty => $field:tt) => {
        #[$crate::__private::async_trait]
        impl<$($generics)*> $crate::store::Log for $type {
            async fn head(&self) -> Result<$crate::store::LogHead, $crate::store::StoreError> {
                $crate::store::Log::head(&self.$field).await
            }
            async fn bundles(
                &self,
                from: u64,
                limit: u32,
            ) -> Result<Vec<$crate::store::Bundle>, $crate::store::StoreError> {
                $crate::store::Log::bundles(&self.$field, from, limit).await
            }
            async fn tile(
                &self,
                level: u8,
                number: u64,
            ) -> Result<Option<$crate::store::Tile>, $crate::store::StoreError> {
                $crate::store::Log::tile(&self.$field, level, number).await
            }
            async fn checkpoints(
                &self,
                from: u64,
                limit: u32,
            ) -> Result<Vec<$crate::store::StoredCheckpoint>, $crate::store::StoreError> {
                $crate::store::Log::checkpoints(&self.$field, from, limit).await
            }
            async fn last_checkpoint(
                &self,
            ) -> Result<Option<$crate::store::StoredCheckpoint>, $crate::store::StoreError> {
                $crate::store::Log::last_checkpoint(&self.$field).await
            }
            async fn seal(
                &self,
                fence: &$crate::store::Fence,
                sealing: $crate::store::Sealing,
            ) -> Result<(), $crate::store::StoreError> {
                $crate::store::Log::seal(&self.$field, fence, sealing).await
            }
            async fn erase(
                &self,
                number: u64,
                from: &[u8],
                to: Vec<u8>,
            ) -> Result<(), $crate::store::StoreError> {
                $crate::store::Log::erase(&self.$field, number, from, to).await
            }
            async fn prune(
                &self,
                fence: &$crate::store::Fence,
                below: u64,
            ) -> Result<u64, $crate::store::StoreError> {
                $crate::store::Log::prune(&self.$field, fence, below).await
            }
            async fn cursor(
                &self,
                reader: &$crate::store::ReaderName,
            ) -> Result<u64, $crate::store::StoreError> {
                $crate::store::Log::cursor(&self.$field, reader).await
            }
            async fn advance(
                &self,
                fence: &$crate::store::Fence,
                reader: &$crate::store::ReaderName,
                to: u64,
            ) -> Result<(), $crate::store::StoreError> {
                $crate::store::Log::advance(&self.$field, fence, reader, to).await
            }
        }

        #[$crate::__private::async_trait]
        impl<$($generics)*> $crate::store::Leases for $type {
            async fn hold(
                &self,
                lease: &$crate::store::LeaseName,
                holder: &$crate::store::ReplicaId,
                ttl: ::std::time::Duration,
            ) -> Result<Option<$crate::store::Fence>, $crate::store::StoreError> {
                $crate::store::Leases::hold(&self.$field, lease, holder, ttl).await
            }
            async fn release(&self, fence: &$crate::store::Fence) -> Result<(), $crate::store::StoreError> {
                $crate::store::Leases::release(&self.$field, fence).await
            }
            async fn clock(&self) -> Result<$crate::time::Timestamp, $crate::store::StoreError> {
                $crate::store::Leases::clock(&self.$field).await
            }
        }
    };
    ($type:ty => $field:tt) => {
        $crate::forward_log!([] $type => $field);
    };
}
