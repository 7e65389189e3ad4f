package audit

import (
	"context"
	"encoding/json"
	"fmt"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/cypherface/edge/store"
)

// proofFormat begins every proof; the next format counts on.
const proofFormat = "cypherface audit proof 1"

// Proof shows that an event is in the log over which a checkpoint was signed, to
// anybody who has the key, without the log (RFC 6962, section 2.1.1).
type Proof struct {
	Format     string          `json:"format"`
	Event      json.RawMessage `json:"event"` // its bytes are the leaf
	Path       []store.Hash    `json:"path"`
	Checkpoint string          `json:"checkpoint"`
}

// Prove proves an event of an epoch; 0 is the present one. The error matches
// ErrNoEvent or ErrDropped.
func (l *Log) Prove(ctx context.Context, epoch, seq uint64) (Proof, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	p, err := l.prove(ctx, epoch, seq)
	if err != nil {
		return Proof{}, fmt.Errorf("prove event %d: %w", seq, err)
	}
	return p, nil
}

func (l *Log) prove(ctx context.Context, epoch, seq uint64) (Proof, error) {
	present := l.Store.Info().Epoch
	if epoch == 0 {
		epoch = present
	}
	var c Checkpoint
	var err error
	if epoch == present {
		c, err = l.checkpoint(ctx)
	} else {
		c, err = l.lastOf(epoch)
	}
	if err != nil {
		return Proof{}, err
	}
	if seq == 0 || seq > c.Size {
		return Proof{}, fmt.Errorf("%w: epoch %d has %d", ErrNoEvent, epoch, c.Size)
	}
	g, err := l.grove(ctx, epoch)
	if err != nil {
		return Proof{}, err
	}
	raw, err := g.raw(ctx, seq)
	if err != nil {
		return Proof{}, err
	}
	path, err := tlog.ProveRecord(int64(c.Size), int64(seq-1), g.reader(ctx))
	return Proof{proofFormat, raw, path, c.Note}, err
}

// Event reads an event of an epoch by its number, wherever it lies; 0 is the present
// epoch. The error matches ErrNoEvent or ErrDropped.
func (l *Log) Event(ctx context.Context, epoch, seq uint64) (e store.Event, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if epoch == 0 {
		epoch = l.Store.Info().Epoch
	}
	g, err := l.grove(ctx, epoch)
	if err != nil {
		return e, err
	}
	if epoch != l.Store.Info().Epoch && g.holder(seq) == nil {
		return e, fmt.Errorf("read event %d: %w", seq, ErrNoEvent)
	}
	raw, err := g.raw(ctx, seq)
	if err != nil {
		return e, fmt.Errorf("read event %d: %w", seq, err)
	}
	return e, json.Unmarshal(raw, &e)
}

// lastOf returns the last checkpoint of an epoch that has ended.
func (l *Log) lastOf(epoch uint64) (Checkpoint, error) {
	all, _, err := l.checkpoints(epoch)
	if err == nil && len(all) == 0 {
		err = fmt.Errorf("%w: epoch %d has no checkpoint", ErrNoEvent, epoch)
	}
	if err != nil {
		return Checkpoint{}, err
	}
	return all[len(all)-1], nil
}

// VerifyProof holds a proof, as JSON, against a key. The error matches ErrUntrue.
func VerifyProof(b []byte, key string) (e store.Event, c Checkpoint, err error) {
	fail := func(err error) (store.Event, Checkpoint, error) {
		return e, c, fmt.Errorf("verify proof: %w", err)
	}
	var p Proof
	if err := json.Unmarshal(b, &p); err != nil || p.Format != proofFormat {
		return fail(fmt.Errorf("%w: it is not a proof of this format", ErrUntrue))
	}
	if c, err = ParseCheckpoint(p.Checkpoint, key); err != nil {
		return fail(err)
	}
	if err := json.Unmarshal(p.Event, &e); err != nil {
		return fail(fmt.Errorf("%w: its event cannot be read", ErrUntrue))
	}
	if e.Seq == 0 || e.Seq > c.Size || c.Size > 1<<62 || e.Epoch != c.Epoch {
		return fail(fmt.Errorf("%w: event %d of epoch %d is not among the %d of epoch %d", ErrUntrue, e.Seq, e.Epoch, c.Size, c.Epoch))
	}
	if err := tlog.CheckRecord(p.Path, int64(c.Size), c.Root, int64(e.Seq-1), store.LeafHash(compact(p.Event))); err != nil {
		return fail(fmt.Errorf("%w: event %d is not in the log that was signed", ErrUntrue, e.Seq))
	}
	return e, c, nil
}

// grove reads nodes of the tree of an epoch wherever they are: in the roots of
// periods, in their files, in the store.
type grove struct {
	*Log
	epoch   uint64
	periods []store.Period
	nodes   map[int64]store.Hash // known, by tlog.StoredHashIndex
}

func (l *Log) grove(ctx context.Context, epoch uint64) (*grove, error) {
	g := &grove{Log: l, epoch: epoch, nodes: map[int64]store.Hash{}}
	err := l.Store.View(ctx, func(tx *store.Tx) (err error) {
		g.periods, err = periods(tx, epoch)
		return err
	})
	for i := range g.periods {
		p, next := &g.periods[i], 0
		store.Subtrees(p.From-1, p.To, func(level int, n uint64) {
			if next < len(p.Roots) {
				g.nodes[tlog.StoredHashIndex(level, int64(n))] = p.Roots[next]
			}
			next++
		})
	}
	return g, err
}

func (g *grove) reader(ctx context.Context) tlog.HashReader {
	return tlog.HashReaderFunc(func(at []int64) (hs []store.Hash, err error) {
		for _, i := range at {
			level, n := tlog.SplitStoredHashIndex(i)
			h, err := g.node(ctx, level, n)
			if err != nil {
				return nil, err
			}
			hs = append(hs, h)
		}
		return hs, nil
	})
}

// node returns the root of the n-th complete subtree with 2^level leaves.
func (g *grove) node(ctx context.Context, level int, n int64) (h store.Hash, err error) {
	at := tlog.StoredHashIndex(level, n)
	if h, ok := g.nodes[at]; ok {
		return h, nil
	}
	if level == 0 {
		return g.leaf(ctx, uint64(n)+1)
	}
	left, err := g.node(ctx, level-1, 2*n)
	if err != nil {
		return h, err
	}
	right, err := g.node(ctx, level-1, 2*n+1)
	if err != nil {
		return h, err
	}
	g.nodes[at] = tlog.NodeHash(left, right)
	return g.nodes[at], nil
}

// holder returns the period of an event, nil where it lies in the store.
func (g *grove) holder(seq uint64) *store.Period {
	for i := range g.periods {
		if p := &g.periods[i]; p.From <= seq && seq <= p.To {
			return p
		}
	}
	return nil
}

// leaf returns the hash of an event, and learns those of its neighbours.
func (g *grove) leaf(ctx context.Context, seq uint64) (h store.Hash, err error) {
	learn := func(seq uint64, h store.Hash) { g.nodes[tlog.StoredHashIndex(0, int64(seq-1))] = h }
	p := g.holder(seq)
	if p == nil {
		err = g.Store.View(ctx, func(tx *store.Tx) error {
			for e, err := range store.Envelopes(tx, seq, seq+blockEvents-1) {
				if err != nil {
					return err
				}
				learn(e.Seq, store.LeafHash(e.Raw))
			}
			return nil
		})
	} else {
		err = g.inFile(p, func(f *periodFile) error {
			for i := range f.index {
				hashes, _, err := f.leaves(i)
				if err != nil {
					return err
				}
				for j, h := range hashes {
					learn(f.index[i].first+uint64(j), h)
				}
			}
			return nil
		})
	}
	if err != nil {
		return h, err
	}
	h, ok := g.nodes[tlog.StoredHashIndex(0, int64(seq-1))]
	if !ok {
		return h, fmt.Errorf("%w: event %d of the journal is missing", store.ErrDamaged, seq)
	}
	return h, nil
}

func (g *grove) inFile(p *store.Period, fn func(*periodFile) error) error {
	if !p.Dropped.IsZero() {
		return fmt.Errorf("%w: events %d to %d on %s", ErrDropped, p.From, p.To, p.Dropped.Format("2006-01-02"))
	}
	f, err := openPeriod(g.Dir, p.ID, g.sealer)
	if err != nil {
		return err
	}
	defer f.close()
	return fn(f)
}

// raw returns the leaf of an event.
func (g *grove) raw(ctx context.Context, seq uint64) (raw []byte, err error) {
	if p := g.holder(seq); p != nil {
		err = g.inFile(p, func(f *periodFile) error {
			for i := range f.index {
				b := &f.index[i]
				if seq < b.first || seq >= b.first+uint64(b.count) {
					continue
				}
				events, _, err := f.block(i)
				if err != nil {
					return err
				}
				raw = events[seq-b.first].Raw
			}
			return nil
		})
	} else {
		err = g.Store.View(ctx, func(tx *store.Tx) error {
			for e, err := range store.Envelopes(tx, seq, seq) {
				if err != nil {
					return err
				}
				raw = e.Raw
			}
			return nil
		})
	}
	if err == nil && raw == nil {
		err = ErrNoEvent
	}
	return raw, err
}
