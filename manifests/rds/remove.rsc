# Takes back what bootstrap.rsc gave: the keys, the user and the group of rds-csi. Volumes, their disk items and
# files, and the folder stay: remove those through Kubernetes before, or by hand. See docs/rds-setup.md.
#
#   /import file-name=remove.rsc
{
# ---- Settings: as in bootstrap.rsc -------------------------------------------------------------------
:local csiUser "csi"
:local csiGroup "csi"
# ---- End of the settings -----------------------------------------------------------------------------

:local fail "rds-csi, nothing was changed: "
:if (($csiGroup = "full") || ($csiGroup = "write") || ($csiGroup = "read")) do={
  :error ($fail . "csiGroup " . $csiGroup . " is a group of RouterOS")
}
:foreach row in=[/user/print detail as-value] do={
  :if ((($row->"name") = $csiUser) && (($row->"group") != $csiGroup)) do={
    :error ($fail . "user " . $csiUser . " is in group " . ($row->"group") . ", not in " . $csiGroup)
  }
  :if ((($row->"group") = $csiGroup) && (($row->"name") != $csiUser)) do={
    :error ($fail . "user " . ($row->"name") . " is in group " . $csiGroup . " too")
  }
}

:foreach key in=[/user/ssh-keys/find where user=$csiUser] do={
  /user/ssh-keys/remove $key
  :put ("key of user " . $csiUser . ": removed")
}
:foreach account in=[/user/find where name=$csiUser] do={
  /user/remove $account
  :put ("user " . $csiUser . ": removed")
}
# Whoever is logged in with it goes on working otherwise.
:foreach session in=[/user/active/find where name=$csiUser] do={
  /user/active/remove $session
  :put ("session of user " . $csiUser . ": ended")
}
:foreach item in=[/user/group/find where name=$csiGroup] do={
  /user/group/remove $item
  :put ("group " . $csiGroup . ": removed")
}
:put "rds-csi: no access is left. Volumes and their folder are untouched."
}
