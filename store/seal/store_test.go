package seal_test

import (
	"path/filepath"
	"testing"

	"github.com/cypherface/edge/store"
	"github.com/cypherface/edge/store/bolt"
	"github.com/cypherface/edge/store/seal"
	"github.com/cypherface/edge/store/storetest"
)

// unsynced opens a sealed store below dir, which is fast and not durable.
func unsynced(dir string) (store.Store, error) {
	return bolt.Open(bolt.Path(dir, store.Sandbox), bolt.Options{
		Environment: store.Sandbox, NoSync: true,
		Keyring: func() (store.Keyring, error) {
			m, err := seal.FindMaster(seal.MasterOptions{Dir: dir})
			if err != nil {
				return nil, err
			}
			return seal.Open(seal.Path(dir, store.Sandbox), m, seal.Options{NoSync: true})
		},
	})
}

func TestConformance(t *testing.T) {
	storetest.Run(t, func(t *testing.T) storetest.Open {
		dir := filepath.Join(t.TempDir(), "data")
		return func() (store.Store, error) { return unsynced(dir) }
	})
}
