package api

import (
	"errors"
	"net/http"
	"strconv"

	"github.com/cypherface/edge/internal/web"
	"github.com/cypherface/edge/store/backup"
	"github.com/cypherface/edge/store/seal"
)

// backup is POST /control/backup: it answers with a backup of the environment,
// sealed to the box's recovery key, or with sameBox = true to its master key.
// Whoever asks keeps it: the box need not be able to write where it goes.
func (a *API) backup(c *call) error {
	var in struct {
		SameBox bool `json:"sameBox"`
	}
	if err := web.DecodeStrict(c.r, &in, 1<<10); err != nil {
		return err
	}
	if a.Backup == nil {
		return web.Fail(http.StatusNotFound, "this box makes no backups")
	}
	if !a.backingUp.TryLock() {
		return web.Fail(http.StatusConflict, "a backup is being made already")
	}
	defer a.backingUp.Unlock()
	ctx, cancel := c.unlimited()
	defer cancel()
	b, err := a.Backup(ctx, operator(c.r), in.SameBox)
	if err != nil {
		return backupProblem(err)
	}
	c.w.Header().Set("Content-Type", "application/octet-stream")
	c.w.Header().Set("Content-Length", strconv.FormatInt(b.Size(), 10))
	return errors.Join(b.Write(ctx, c.w), b.Close())
}

// backupProblem maps what can be wrong with a backup. The words of the package below
// are for operators, as who asks here is.
func backupProblem(err error) error {
	switch {
	case errors.Is(err, backup.ErrRoom):
		return web.Fail(http.StatusServiceUnavailable, "%v", err).Because(err)
	case errors.Is(err, seal.ErrRecovery):
		return web.Fail(http.StatusConflict, "%v", err).Because(err)
	}
	return err
}
