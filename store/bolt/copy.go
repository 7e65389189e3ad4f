package bolt

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"go.etcd.io/bbolt"

	"github.com/cypherface/edge/store"
)

// portion is how many bytes are copied in one transaction: its pages are in
// memory until it ends.
const portion = 1 << 20

// Copy writes the store as it is at one moment to a new file at path, while
// Updates go on. The file is a store by itself, packed, and holds what can be
// reached alone: nothing comes along that lay in freed pages. Values stay sealed
// as they are, and the keys stay where they are: with their keyring the copy
// opens, and without it it is random bytes. It appears, durable and readable by
// its owner alone, when it is whole; a file that is there is left alone
// (fs.ErrExist). The error matches store.ErrDamaged where a page cannot be read.
func (s *Store) Copy(ctx context.Context, path string) error {
	if err := s.copyTo(ctx, path); err != nil {
		return fmt.Errorf("copy store to %s: %w", path, err)
	}
	return nil
}

func (s *Store) copyTo(ctx context.Context, path string) (err error) {
	if _, err := os.Lstat(path); err == nil {
		return fs.ErrExist
	}
	defer faults(&err)()
	from, err := s.begin(false)
	if err != nil {
		return err
	}
	defer from.Rollback()
	return whole(path, func(draft string) error {
		return pack(from, draft, func(to *file) func(int64) error { return s.pace(ctx, from, to, nil) })
	})
}

// pack makes a file of all that can be reached in from, and no larger than that. each
// makes for it what is called for each portion.
func pack(from *bbolt.Tx, path string, each func(to *file) func(done int64) error) error {
	to, err := openFile(path, Options{NoSync: true})
	if err != nil {
		return err
	}
	err = copyAll(from, to, each(to))
	size := reach(to)
	if err := errors.Join(err, to.Close()); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := f.Truncate(size); err != nil {
		return err
	}
	return f.Sync()
}

// reach is where the pages of a file end; the file may have grown ahead of them.
func reach(db *file) (size int64) {
	_ = db.View(func(tx *bbolt.Tx) error { size = tx.Size(); return nil }) // fails when closed only
	return size
}

// whole has write make a file under another name, and moves it to path when it
// is whole, so that a cut leaves no half of one there.
func whole(path string, write func(draft string) error) error {
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer dir.Close()
	draft := path + draftSuffix
	if err := Discard(draft); err != nil {
		return err
	}
	if err := write(draft); err != nil {
		return errors.Join(err, Discard(draft))
	}
	if err := os.Rename(draft, path); err != nil {
		return err
	}
	return dir.Sync()
}

// copyAll copies all that can be reached in from, in the order of the keys, in
// transactions of a portion each, between which it calls each with the bytes that
// were copied. An error of that ends it.
func copyAll(from *bbolt.Tx, to *file, each func(done int64) error) error {
	source := &kv{tx: from}
	buckets, err := source.Buckets()
	if err != nil {
		return err
	}
	w := &packer{db: to}
	defer w.rollback()
	done := int64(0)
	for _, bucket := range buckets {
		err := source.Scan(bucket, store.Range{}, func(k, v []byte) (bool, error) {
			if v == nil {
				return false, fmt.Errorf("%w: a bucket lies within %s", store.ErrDamaged, bucket)
			}
			if err := w.change(bucket, k, v); err != nil || w.size < portion {
				return true, err
			}
			done += int64(w.size)
			return true, errors.Join(w.commit(), each(done))
		})
		if err != nil {
			return err
		}
	}
	done += int64(w.size)
	return errors.Join(w.commit(), each(done))
}

// packer fills a bbolt file that nobody else knows yet. Keys that come in
// ascending order lie packed.
type packer struct {
	db   *file
	tx   *bbolt.Tx // nil between transactions
	name string    // of the bucket below
	in   *bbolt.Bucket
	size int // bytes put in the transaction
}

// change puts value, or deletes the key where it is nil.
func (w *packer) change(bucket string, key, value []byte) (err error) {
	if w.tx == nil {
		if w.tx, err = w.db.Begin(true); err != nil {
			return err
		}
	}
	if w.in == nil || w.name != bucket {
		if w.in, err = w.tx.CreateBucketIfNotExists([]byte(bucket)); err != nil {
			return err
		}
		w.name, w.in.FillPercent = bucket, 0.9
	}
	w.size += len(key) + len(value)
	if value == nil {
		return w.in.Delete(key)
	}
	return w.in.Put(key, value)
}

func (w *packer) commit() error {
	if w.tx == nil {
		return nil
	}
	err := named(w.tx.Commit())
	w.tx, w.in, w.size = nil, nil, 0
	return err
}

// rollback ends what is left after an error.
func (w *packer) rollback() {
	if w.tx != nil {
		w.tx.Rollback()
	}
}
