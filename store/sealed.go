package store

import "fmt"

// sealKey, in the meta bucket, has a value that only the right Sealer opens.
const sealKey = "seal"

var sealPlace = Place{Bucket: metaBucket, Key: []byte(sealKey)}

func (l *Layout) clear() bool { _, ok := l.sealer.(Clear); return ok }

// mark makes a store one that is sealed.
func (l *Layout) mark(kv KV) error {
	if l.clear() {
		return nil
	}
	sealed, err := l.sealer.Seal(sealPlace, []byte(l.info.Device))
	if err != nil {
		return err
	}
	return kv.Put(sealPlace.Bucket, sealPlace.Key, sealed)
}

// checkSeal checks that a store is sealed as it should be.
func (l *Layout) checkSeal(kv KV) error {
	sealed, err := kv.Get(sealPlace.Bucket, sealPlace.Key)
	switch {
	case err != nil:
		return err
	case sealed == nil && !l.clear():
		return ErrUnsealed
	case sealed == nil:
		return nil
	case l.clear():
		return fmt.Errorf("%w: it opens with its keyring only", ErrSealed)
	}
	if _, err := l.sealer.Open(sealPlace, sealed); err != nil {
		return fmt.Errorf("%w of this keyring: %v; put back the keyring that belongs to it", ErrForeign, err)
	}
	return nil
}

// Sync is for backends: it makes the keys durable that values put so far were
// sealed with. It has to succeed before these are committed.
func (l *Layout) Sync() error {
	ring, ok := l.sealer.(Keyring)
	if !ok {
		return nil
	}
	return ring.Sync()
}

// Forget is for backends: it destroys the keys of people whose erasure is
// committed. If it fails, the erasure is not done: it is completed when the store
// is opened again.
func (l *Layout) Forget(people []PersonTag) error {
	ring, ok := l.sealer.(Keyring)
	if !ok || len(people) == 0 {
		return nil
	}
	return ring.Forget(people...)
}
