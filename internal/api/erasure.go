package api

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/cypherface/edge/internal/audit"
	"github.com/cypherface/edge/internal/web"
	"github.com/cypherface/edge/store"
)

// erasureID names an erasure of the present epoch by its event.
func (a *API) erasureID(seq uint64) string { return fmt.Sprintf("%d-%d", a.info.Epoch, seq) }

// showErasure is GET /erasures/{erasureId}/: the signed receipt of an erasure.
func (a *API) showErasure(c *call) error {
	epochWord, seqWord, _ := strings.Cut(c.r.PathValue("erasureId"), "-")
	epoch, err1 := strconv.ParseUint(epochWord, 10, 62)
	seq, err2 := strconv.ParseUint(seqWord, 10, 62)
	if err1 != nil || err2 != nil || epoch == 0 || seq == 0 {
		return web.Fail(http.StatusBadRequest, "the id is not well formed").Field("erasureId", "must be as the erasure answered it, such as 1-4711")
	}
	if a.Audit == nil {
		return web.Fail(http.StatusServiceUnavailable, "the journal is not open")
	}
	r, err := a.Audit.Receipt(c.ctx(), c.Merchant, epoch, seq, a.copies)
	if err != nil {
		return auditProblem(err)
	}
	return c.reply(http.StatusOK, struct {
		Success bool          `json:"success"`
		Receipt audit.Receipt `json:"receipt"`
	}{true, r})
}

const day = 24 * time.Hour

// copies says where something about an erased person may lie after the erasure, as
// docs/security.md has it.
func (a *API) copies(e *store.Event) []audit.Copy {
	// A copy is made each day, and goes when so many newer ones are there; one may
	// have been under way.
	copiesGone := e.Time.Add(time.Duration(a.HotCopies+1) * day)
	list := []audit.Copy{}
	if e.Kind == store.EventErasure {
		list = append(list,
			audit.Copy{Where: "store", Note: "freed pages: the person's key is destroyed, so that nothing in them can be read"},
			audit.Copy{Where: "index of the store", Until: e.Time.Add(day), Readable: true, Note: "keyed hashes of e-mail address and external id, until the store is compacted; who has the keyring can test guesses"})
		if a.HotCopies > 0 {
			list = append(list, audit.Copy{Where: "hot copies", Until: copiesGone, Note: "of before; the person's key is destroyed"})
		}
	} else {
		list = append(list, audit.Copy{Where: "store", Readable: true, Until: e.Time.Add(day), Note: "freed pages, sealed, until the store is compacted; the person's key stays with the person"})
		if a.HotCopies > 0 {
			list = append(list, audit.Copy{Where: "hot copies", Readable: true, Until: copiesGone, Note: "of before, sealed; the person's key stays with the person"})
		}
	}
	backups := "of before, with their recovery key; the box does not know where they are: destroy them. "
	if e.Kind == store.EventErasure {
		backups += "A restore erases again whom the erasure log knows"
	} else {
		backups += "A restore brings back what was in them: withdraw again after it"
	}
	return append(list,
		audit.Copy{Where: "backups", Readable: true, Note: backups},
		audit.Copy{Where: "audit log", Readable: true, Note: "that something happened, with random ids, times and outcomes, until its retention; no name and no picture"})
}
