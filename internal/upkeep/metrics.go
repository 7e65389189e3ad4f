package upkeep

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

// Warnings says in words what an operator should know of the store; empty as a rule.
// It names no record: anybody may read it.
func (k *Keeper) Warnings() (all []string) {
	s := k.State()
	_, damage := k.Store.Trouble()
	switch {
	case len(s.Faults) > 0:
		all = append(all, fmt.Sprintf("the store is damaged: %d faults were found (cypherface store check names them)", len(s.Faults)))
	case damage != nil:
		all = append(all, "the store is damaged: somebody met what cannot be read (cypherface store check says what it is)")
	}
	if k.Store.Full() {
		all = append(all, "the disk is full: only decisions and erasures are stored, from what is reserved for them")
	}
	if s.Trouble != "" {
		all = append(all, "there is no new hot copy of the store (the log says why)")
	}
	return all
}

// Register has the state of the store shown.
func (k *Keeper) Register(reg prometheus.Registerer) error {
	gauge := func(name, help string, labels prometheus.Labels, read func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help, ConstLabels: labels}, read)
	}
	const size = "cypherface_store_bytes"
	for _, c := range []prometheus.Collector{
		gauge(size, "Bytes of the store's file.", prometheus.Labels{"state": "used"}, func() float64 {
			used, _, _ := k.Store.Room()
			return float64(used)
		}),
		gauge(size, "Bytes of the store's file.", prometheus.Labels{"state": "free"}, func() float64 {
			_, free, _ := k.Store.Room()
			return float64(free)
		}),
		gauge("cypherface_store_damaged", "1 where damage was met or found since the store was opened or last found whole.", nil, func() float64 {
			_, damage := k.Store.Trouble()
			return number(damage != nil || len(k.State().Faults) > 0)
		}),
		gauge("cypherface_store_refuses_changes", "1 where the store takes no changes until it is opened again.", nil, func() float64 {
			refuses, _ := k.Store.Trouble()
			return number(refuses != nil)
		}),
		gauge("cypherface_store_disk_full", "1 where the disk is full and only decisions and erasures are stored.", nil, func() float64 {
			return number(k.Store.Full())
		}),
		gauge("cypherface_store_copy_timestamp_seconds", "Of when the newest hot copy is; 0: there is none.", nil, func() float64 {
			if at := k.State().Copy; !at.IsZero() {
				return float64(at.Unix())
			}
			return 0
		}),
	} {
		if err := reg.Register(c); err != nil {
			return fmt.Errorf("register metrics of the store: %w", err)
		}
	}
	return nil
}

func number(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}
