package bolt_test

import (
	"path/filepath"
	"testing"

	"github.com/cypherface/edge/store"
	"github.com/cypherface/edge/store/bolt"
	"github.com/cypherface/edge/store/storetest"
)

func TestConformance(t *testing.T) {
	storetest.Run(t, func(t *testing.T) storetest.Open {
		path := filepath.Join(t.TempDir(), "store.db")
		return func() (store.Store, error) {
			return bolt.Open(path, bolt.Options{Environment: store.Sandbox, NoSync: true})
		}
	})
}
