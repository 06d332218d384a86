package delivery

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"time"

	"github.com/hashicorp/memberlist"
	"github.com/prometheus/alertmanager/cluster"
)

// joinCluster shares alerts, silences, the notification log and what is resolved by hand with peers.
func (d *Delivery) joinCluster() error {
	if d.cfg.Cluster.Listen == "" {
		return nil
	}
	var err error
	d.peer, err = cluster.Create(d.cfg.Logger, d.cfg.Registerer, d.cfg.Cluster.Listen, "", d.cfg.Cluster.Peers, true,
		cluster.DefaultPushPullInterval, cluster.DefaultGossipInterval, cluster.DefaultTCPTimeout, cluster.DefaultResolvePeersTimeout,
		cluster.DefaultProbeTimeout, cluster.DefaultProbeInterval, nil, false, "", "")
	if err != nil {
		return fmt.Errorf("join the cluster: %w", err)
	}
	d.log.SetBroadcast(d.peer.AddState("nfl", d.log, d.cfg.Registerer).Broadcast)
	d.silences.SetBroadcast(d.peer.AddState("sil", d.silences, d.cfg.Registerer).Broadcast)
	// Keys of our own: Alertmanager's members, which know no such state, leave it aside.
	if d.cfg.Shared != nil {
		d.cfg.Shared.SetBroadcast(d.peer.AddState("otelcol_resolved", d.cfg.Shared, d.cfg.Registerer).Broadcast)
	}
	d.alerts.broadcast = d.peer.AddState("otelcol_alerts", d.alerts, d.cfg.Registerer).Broadcast
	if err := d.peer.Join(cluster.DefaultReconnectInterval, cluster.DefaultReconnectTimeout); err != nil {
		d.cfg.Logger.Warn("no peer of the cluster could be reached", "err", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	d.background.Go(func() {
		defer cancel()
		d.peer.Settle(ctx, 10*cluster.DefaultGossipInterval)
	})
	d.background.Go(func() {
		<-d.stop
		cancel()
	})
	return nil
}

// leaveCluster says goodbye and frees the port, so that a configuration can be loaded anew in the same process.
func (d *Delivery) leaveCluster() error {
	err := d.peer.Leave(5 * time.Second)
	// Alertmanager's peer keeps its member list, with its listeners and goroutines, until the process ends, and has no way to end it.
	if list, ok := memberList(d.peer); ok {
		err = errors.Join(err, list.Shutdown())
	}
	return err
}

// memberList returns what the peer does not show. Should it be called something else one day, a reload fails as it would without this, and
// a test tells.
func memberList(peer *cluster.Peer) (*memberlist.Memberlist, bool) {
	field := reflect.ValueOf(peer).Elem().FieldByName("mlist")
	if !field.IsValid() || field.Type() != reflect.TypeFor[*memberlist.Memberlist]() || field.IsNil() {
		return nil, false
	}
	return (*memberlist.Memberlist)(field.UnsafePointer()), true
}

// clusterPeer is nil as an interface without a cluster.
func (d *Delivery) clusterPeer() cluster.ClusterPeer {
	if d.peer == nil {
		return nil
	}
	return d.peer
}
