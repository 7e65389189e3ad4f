package verify

import (
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// String says how a change of the pack stands, for people; empty where there is
// none and nobody is left behind. It names nobody.
func (m Migration) String() string {
	behind := ""
	if m.Left > 0 {
		behind = fmt.Sprintf("; %d people have to be enrolled again (cypherface models status lists them)", m.Left)
	}
	into := m.To
	if into == "" {
		into = m.Pack
	}
	switch {
	case m.Stage == StageEmbedding && m.Incomplete:
		return fmt.Sprintf("a search may miss people: %d of %d are embedded for pack %s, and the pack before it is not there%s", m.Done, m.People, into, behind)
	case m.Stage == StageEmbedding:
		eta := ""
		if m.Remaining > 0 {
			eta = fmt.Sprintf(", some %v to go", m.Remaining.Round(time.Second))
		}
		return fmt.Sprintf("%d of %d people are embedded for pack %s%s%s", m.Done, m.People, into, eta, behind)
	case m.Stage == StageWaiting:
		return fmt.Sprintf("the change to pack %s waits%s", into, behind)
	case m.Stage == StageRemoving:
		return "templates of another pack are being removed" + behind
	case m.Left > 0:
		return "not everybody can be found" + behind
	}
	return ""
}

// Register has the change of the pack shown among the metrics.
func (s *Service) Register(reg prometheus.Registerer) error {
	gauge := func(name, help string, read func(Migration) float64) error {
		return reg.Register(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "cypherface_migration_" + name, Help: help},
			func() float64 { return read(s.Migration()) }))
	}
	for _, err := range []error{
		gauge("under_way", "1 while the pack is being changed.", func(m Migration) float64 {
			if m.Stage == StageNone {
				return 0
			}
			return 1
		}),
		gauge("people", "People who are enrolled.", func(m Migration) float64 { return float64(m.People) }),
		gauge("people_done", "People with a template of the pack to come, or where none is of the one that answers.", func(m Migration) float64 { return float64(m.Done) }),
		gauge("people_left", "People who have to be enrolled again.", func(m Migration) float64 { return float64(m.Left) }),
		gauge("people_per_second", "People who are embedded a second.", func(m Migration) float64 { return m.Rate }),
	} {
		if err != nil {
			return err
		}
	}
	return nil
}
