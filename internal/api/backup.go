package api

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/cypherface/edge/internal/web"
	"github.com/cypherface/edge/store"
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
	ctx, cancel := unhurried(c.ctx())
	defer cancel()
	uid, _ := c.ctx().Value(peerKey{}).(uint32)
	b, err := a.Backup(ctx, store.Actor{Kind: store.ActorCLI, ID: strconv.FormatUint(uint64(uid), 10)}, in.SameBox)
	if err != nil {
		return backupProblem(err)
	}
	// A slow disk at the other end is no reason to give up.
	_ = http.NewResponseController(c.w).SetWriteDeadline(time.Time{}) // in this process there is none
	c.w.Header().Set("Content-Type", "application/octet-stream")
	c.w.Header().Set("Content-Length", strconv.FormatInt(b.Size(), 10))
	return errors.Join(b.Write(ctx, c.w), b.Close())
}

// unhurried is ctx without its deadline: it ends when the caller goes away.
func unhurried(ctx context.Context) (context.Context, context.CancelFunc) {
	free, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		if errors.Is(ctx.Err(), context.Canceled) {
			cancel()
		}
	})
	return free, func() { stop(); cancel() }
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
