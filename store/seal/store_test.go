package seal_test

import (
	"path/filepath"
	"testing"

	"github.com/cypherface/edge/store"
	"github.com/cypherface/edge/store/bolt"
	"github.com/cypherface/edge/store/seal"
	"github.com/cypherface/edge/store/storetest"
)

// open opens a sealed store below dir.
func open(dir string, noSync bool) (*bolt.Store, error) {
	m, err := seal.FindMaster(seal.MasterOptions{Dir: dir})
	if err != nil {
		return nil, err
	}
	ring, err := seal.Open(seal.Path(dir, store.Sandbox), m, seal.Options{NoSync: noSync})
	if err != nil {
		return nil, err
	}
	return bolt.Open(bolt.Path(dir, store.Sandbox), bolt.Options{Environment: store.Sandbox, Sealer: ring, NoSync: noSync})
}

func TestConformance(t *testing.T) {
	storetest.Run(t, func(t *testing.T) storetest.Open {
		dir := filepath.Join(t.TempDir(), "data")
		return func() (store.Store, error) { return open(dir, true) }
	})
}
