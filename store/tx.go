package store

import (
	"errors"
	"fmt"
	"time"
)

// Tx is a transaction. It serves one goroutine, and only until the function it
// was handed to returns.
type Tx struct {
	layout *Layout
	kv     KV // nil once the transaction is over
	now    time.Time
	cause  *Cause // nil in a View
	tree   Tree   // of the journal; valid once there are events
	commit Commit
	erased []PersonTag
	last   loaded
	half   error // why a change was left half done: the transaction must fail

	feeds     map[SiteID]*feed // of the merchants in feedsRead; at a central
	feedsRead map[MerchantID]bool
	link      *Link // of a box; valid once linkRead
	linkRead  bool
	replica   bool     // records come from the central: they are no events and no edits
	emptying  PersonID // who is being erased with all records
}

// Time is the time of the transaction, the same throughout.
func (tx *Tx) Time() time.Time { return tx.now }

// Info says which store the transaction is of.
func (tx *Tx) Info() Info { return tx.layout.info }

// Sealer returns what the values of the store are sealed with. It serves beyond
// the transaction.
func (tx *Tx) Sealer() Sealer { return tx.layout.sealer }

// Finish is for backends: it ends the transaction after its function has
// succeeded, and returns what it brought. Nothing may be done with tx after it.
func (tx *Tx) Finish() (Commit, error) {
	defer tx.Abandon()
	if tx.half != nil {
		return Commit{}, tx.half
	}
	if err := tx.saveFeeds(); err != nil {
		return Commit{}, err
	}
	if len(tx.commit.Events) == 0 {
		return tx.commit, nil
	}
	err := tx.kv.Put(metaBucket, []byte(headKey), tx.tree.appendTo(nil))
	return tx.commit, err
}

// Erased is for backends: it returns the people whom the transaction erases. When
// it is committed, Layout.Forget destroys their keys.
func (tx *Tx) Erased() []PersonTag { return tx.erased }

// Abandon is for backends: it makes every later use of tx fail.
func (tx *Tx) Abandon() { tx.kv = nil }

func (tx *Tx) get(bucket string, key []byte) ([]byte, error) {
	if tx.kv == nil {
		return nil, ErrTxDone
	}
	return tx.kv.Get(bucket, key)
}

func (tx *Tx) scan(bucket string, r Range, fn func(k, v []byte) (bool, error)) error {
	if tx.kv == nil {
		return ErrTxDone
	}
	return tx.kv.Scan(bucket, r, fn)
}

// writable returns the KV to change.
func (tx *Tx) writable() (KV, error) {
	switch {
	case tx.kv == nil:
		return nil, ErrTxDone
	case tx.cause == nil:
		return nil, ErrReadOnly
	}
	return tx.kv, nil
}

// whole runs a change of several steps. If one fails, the transaction cannot
// succeed any more, even if its function ignores the error.
func (tx *Tx) whole(change func() error) error {
	err := change()
	if err != nil && tx.half == nil {
		tx.half = err
	}
	return err
}

func recordBucket(k Kind) string { return "record." + string(k) }

// loadRaw returns the unsealed value of a record, or ErrNotFound.
func (tx *Tx) loadRaw(k Kind, id string) ([]byte, error) {
	at := Place{Bucket: recordBucket(k), Key: []byte(id)}
	sealed, err := tx.get(at.Bucket, at.Key)
	if err == nil && sealed == nil {
		err = ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("get %s: %w", k, err)
	}
	plain, err := tx.layout.sealer.Open(at, sealed)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", k, err)
	}
	return plain, nil
}

// load reads a record into rec.
func (tx *Tx) load(k Kind, id string, rec any) error {
	plain, err := tx.loadRaw(k, id)
	if err != nil {
		return err
	}
	if err := decode(plain, rec); err != nil {
		return fmt.Errorf("decode %s %q: %w", k, id, err)
	}
	if v, ok := rec.(value); ok && tx.cause != nil {
		tx.last = loaded{k, id, plain, v.spec(), *v.meta()}
	}
	return nil
}

// loaded is the record that a transaction has read last, as it lies in the store:
// who reads one mostly puts it next. The zero loaded is none.
type loaded struct {
	kind  Kind
	id    string
	plain []byte
	spec  spec
	meta  Meta
}

func (l *loaded) is(k Kind, id string) bool { return l.plain != nil && l.kind == k && l.id == id }

// save seals a value and puts it.
func (tx *Tx) save(at Place, plain []byte) error {
	tx.last = loaded{}
	kv, err := tx.writable()
	if err != nil {
		return err
	}
	if err := tx.checkErased(at.Person); err != nil {
		return err
	}
	sealed, err := tx.layout.sealer.Seal(at, plain)
	if err != nil {
		return fmt.Errorf("seal value of %s: %w", at.Bucket, err)
	}
	return kv.Put(at.Bucket, at.Key, sealed)
}

func isNotFound(err error) bool { return errors.Is(err, ErrNotFound) }
