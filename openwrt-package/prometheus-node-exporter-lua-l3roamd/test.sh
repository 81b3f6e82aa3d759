#!/bin/sh
# Called by OpenWrt's package tests with the name of the package: there the daemon does not run, and the collector says so.

[ "$1" = prometheus-node-exporter-lua-l3roamd ] || exit 0
prometheus-node-exporter-lua | grep -qx 'l3roamd_up [01]'
