package seal

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"

	"github.com/cypherface/edge/store"
)

// Options says how to open a keyring.
type Options struct {
	// MustExist makes it an error (fs.ErrNotExist) that there is no file yet.
	MustExist bool
	// NoSync gives durability up for speed; for tests.
	NoSync bool
	// Erasures is the path of the erasure log; empty: beside the folder of the
	// keyring, see ErasuresPath.
	Erasures string
	// Log is told of damage that was mended; nil discards it.
	Log *slog.Logger
}

// Path is where the keyring of an environment lies below the data directory.
func Path(dir string, env store.Environment) string {
	return filepath.Join(dir, string(env), "keyring")
}

// Ring is an open keyring. It is safe for concurrent use; that only one process
// has it open is for the store to see to, whose lock stands for both.
type Ring struct {
	path       string
	log        string // path of the erasure log; empty: none is kept
	general    keyID
	generalKey key
	blind      key
	segments   segments
	recent     recent

	// writing is held while the file is written, and protects what describes it.
	writing  sync.Mutex
	disk     disk
	master   *Master
	header   header
	wrapping key
	file     key // seals the slots
	slots    int // in the file; 0 before it is first written
	stale    bool

	mu       sync.RWMutex // protects the fields below
	keys     map[keyID]key
	people   map[store.PersonTag]keyID
	gone     map[keyID]store.PersonTag
	pending  []slot          // not in the file yet
	recovery *recoverySecret // nil: none
	current  segment
	sealed   uint64 // values in the current segment
}

var _ store.Keyring = (*Ring)(nil)

// Open opens the keyring at path. Where there is none it makes one, in memory:
// the file is written with the first Sync, so that a store which does not want a
// new keyring is in time to say so. The error matches ErrMaster where the master
// key is missing or another, store.ErrDamaged, ErrForeign or ErrNewer where that
// is the reason; the file is then as it was.
func Open(path string, m *Master, opt Options) (*Ring, error) {
	r := emptyRing(path, m, opt)
	err := r.load(opt)
	if err == nil {
		r.blind = r.generalKey.derive(labelBlind)
		err = r.remember()
	}
	if err != nil {
		return nil, fmt.Errorf("open keyring %s: %w", path, err)
	}
	return r, nil
}

func emptyRing(path string, m *Master, opt Options) *Ring {
	if opt.Erasures == "" {
		opt.Erasures = filepath.Dir(path) + logSuffix
	}
	return &Ring{
		path: path, log: opt.Erasures, disk: disk{noSync: opt.NoSync}, master: m,
		gone: map[keyID]store.PersonTag{}, current: segment(randomNumber()),
	}
}

// begin makes a new keyring.
func (r *Ring) begin() (err error) {
	if r.header, r.wrapping, err = r.master.wrap(); err != nil {
		return err
	}
	r.keys, r.people = map[keyID]key{}, map[store.PersonTag]keyID{}
	r.general, r.generalKey = r.newID(), newKey()
	r.inherit()
	r.stale = true
	return nil
}

// newID must be called with mu held, or before others know of r.
func (r *Ring) newID() keyID {
	for {
		id := keyID(randomNumber())
		_, used := r.keys[id]
		_, gone := r.gone[id]
		if id != 0 && id != r.general && !used && !gone {
			return id
		}
	}
}

// keyOf returns the key of a person, and makes it the first time.
func (r *Ring) keyOf(tag store.PersonTag) (keyID, key) {
	r.mu.RLock()
	id, ok := r.people[tag]
	k := r.keys[id]
	r.mu.RUnlock()
	if ok {
		return id, k
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if id, ok := r.people[tag]; ok {
		return id, r.keys[id]
	}
	id, k = r.newID(), newKey()
	r.people[tag], r.keys[id] = id, k
	r.pending = append(r.pending, slot{personSlot, id, tag, k})
	return id, k
}

// keyFor returns a key by its id.
func (r *Ring) keyFor(id keyID) (key, error) {
	if id == r.general {
		return r.generalKey, nil
	}
	r.mu.RLock()
	defer r.mu.RUnlock()
	if k, ok := r.keys[id]; ok {
		return k, nil
	}
	if _, ok := r.gone[id]; ok {
		return key{}, store.ErrErased
	}
	return key{}, fmt.Errorf("%w: the keyring lacks the key of a value", store.ErrDamaged)
}

// segment returns the one to seal the next value in.
func (r *Ring) segment() segment {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.sealed == perSegment {
		r.current, r.sealed = segment(randomNumber()), 0
	}
	r.sealed++
	return r.current
}

// Has says whether there is a key for a person.
func (r *Ring) Has(p store.PersonTag) bool {
	r.mu.RLock()
	defer r.mu.RUnlock()
	_, ok := r.people[p]
	return ok
}

// Forgotten returns all whose keys were destroyed.
func (r *Ring) Forgotten() []store.PersonTag {
	r.mu.RLock()
	defer r.mu.RUnlock()
	tags := make([]store.PersonTag, 0, len(r.gone))
	for _, tag := range r.gone {
		tags = append(tags, tag)
	}
	return tags
}

// Sync makes the keys durable that are new since the last one.
func (r *Ring) Sync() error {
	r.writing.Lock()
	defer r.writing.Unlock()
	err := r.flush()
	if err != nil {
		return fmt.Errorf("write keyring: %w", err)
	}
	return nil
}

func (r *Ring) flush() error {
	if r.stale {
		return r.rewrite()
	}
	r.mu.RLock()
	pending := r.pending
	r.mu.RUnlock()
	if len(pending) == 0 {
		return nil
	}
	size, b := int64(headLen+r.slots*slotLen), appendSlots(nil, &r.file, r.slots, pending)
	if err := r.disk.extend(r.paths(), size, b); err != nil {
		return err
	}
	r.slots += len(pending)
	r.written(len(pending))
	return nil
}

// written takes the first n from what is pending.
func (r *Ring) written(n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.pending = r.pending[n:]; len(r.pending) == 0 {
		r.pending = nil
	}
}

// Forget destroys the keys of people: the file is written without them, under a
// new key of its own. Until it is, Open knows them no more already.
func (r *Ring) Forget(people ...store.PersonTag) error {
	r.writing.Lock()
	defer r.writing.Unlock()
	var erased []store.PersonTag
	r.mu.Lock()
	for _, tag := range people {
		if _, ok := r.people[tag]; ok {
			r.lose(tag)
			erased = append(erased, tag)
		}
	}
	r.mu.Unlock()
	if !r.stale {
		return nil
	}
	if err := r.note(erased...); err != nil {
		return err
	}
	if err := r.rewrite(); err != nil {
		return fmt.Errorf("write keyring: %w", err)
	}
	return nil
}

// rewrite writes the file whole. The caller holds writing.
func (r *Ring) rewrite() error {
	if err := r.master.save(&r.disk); err != nil {
		return err
	}
	slots, pending := r.all()
	file := newKey()
	b, err := formatHead(r.header, &r.wrapping, &file, slots)
	if err != nil {
		return err
	}
	b = appendSlots(b, &file, 0, slots)
	if err := os.MkdirAll(filepath.Dir(r.path), 0o700); err != nil {
		return err
	}
	r.stale = true // until it has succeeded: appending would miss the file
	for _, path := range r.paths() {
		if err := r.disk.replace(path, b); err != nil {
			return err
		}
	}
	first := r.slots == 0
	r.file, r.slots, r.stale = file, len(slots), false
	r.written(pending)
	if first {
		return r.note(begun)
	}
	return nil
}

// all returns the slots of a whole file, and how many of pending are among them.
// Their order tells nothing.
func (r *Ring) all() (slots []slot, pending int) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	slots = make([]slot, 0, 2+len(r.people)+len(r.gone))
	slots = append(slots, slot{kind: generalSlot, id: r.general, key: r.generalKey})
	if r.recovery != nil {
		slots = append(slots, slot{recoverySlot, r.general, r.recovery.tag, r.recovery.author})
	}
	for tag, id := range r.people {
		slots = append(slots, slot{personSlot, id, tag, r.keys[id]})
	}
	for id, tag := range r.gone {
		slots = append(slots, slot{kind: forgottenSlot, id: id, tag: tag})
	}
	return slots, len(r.pending)
}
