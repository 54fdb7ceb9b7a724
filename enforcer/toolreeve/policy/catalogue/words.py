"""The words by which a tool is classified. Data only: `naming` says how they are read.

A *verb* is taken as one wherever it stands. A *noun* here is a word that may also be a verb
(`run`, `order`, `message`): it counts as a verb only where a name has no other.
"""

from toolreeve.policy.catalogue.tool import RiskClass

READ, WRITE, EXECUTE = RiskClass.READ, RiskClass.WRITE, RiskClass.EXECUTE
FINANCIAL, DESTRUCTIVE = RiskClass.FINANCIAL, RiskClass.DESTRUCTIVE


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


def _table(**rows: str) -> dict[str, RiskClass]:
    return {word: RiskClass(row) for row, words in rows.items() for word in words.split()}


VERBS = _table(
    read="""get describe show fetch find retrieve lookup inspect read list ls cat head tail grep
        peek browse view explain preview diff compare validate verify lint analyze analyse
        calculate compute translate summarize summarise download whoami ping resolve trace stat
        tree detect extract parse screenshot poll wait suggest recommend estimate forecast
        predict recall geocode blame calculator checksum search scrape transcribe classify rank
        decode encode hash""",
    write="""create new add insert upsert update set edit modify change put patch write append
        prepend save store move mv rename copy cp duplicate clone fork upload import attach
        detach assign unassign enable disable mount unmount configure link unlink tag untag
        label unlabel mkdir touch chmod chown grant allow pin unpin mute unmute archive
        unarchive star unstar follow unfollow join leave subscribe unsubscribe vote like react
        bookmark complete resolve reopen mark merge stash rebase cherry checkin replace convert
        generate draft schedule reschedule reserve snooze dismiss acknowledge ack upgrade
        downgrade resize expand extend shrink annotate promote demote bind unbind associate
        disassociate provision apply init initialize initialise seed remember memorize memorise
        increment decrement undelete unhide begin commit undo zip unzip kick ban eject escalate
        silence shorten authorize authorise hide unshare approve reject accept decline close
        cancel invite rotate index reindex""",
    execute="""start vacuum stop restart reboot shutdown poweroff poweron boot halt suspend resume
        pause
        unpause hibernate wake exec execute eval evaluate invoke trigger launch spawn send reply
        forward broadcast publish notify dispatch deploy undeploy redeploy rollout scale drain
        cordon uncordon failover install compile simulate click press tap type fill hover scroll
        drag navigate turn toggle dim arm disarm unlock dial play skip crawl probe kill abort
        retry rerun replay reload refresh sync synchronize synchronise attack exploit connect
        disconnect open inject submit perform enqueue requeue emit inference impersonate assume
        quarantine isolate unblock sandbox actuate dispense print""",
    financial="""pay buy sell purchase refund withdraw deposit donate tip wire payout repay
        reimburse disburse liquidate stake unstake bid checkout""",
    destructive="""delete del rmtree destroy remove rm rmdir drop purge wipe erase truncate
        uninstall terminate expunge obliterate shred nuke revoke deprovision decommission evict
        discard overwrite prune teardown cleanup forget deregister flushdb flushall reformat zap
        deletes removes deleting removing bulkdelete unprovision cull annihilate reclaim
        invalidate unregister""",
)
# Nouns that are verbs where they begin a name, and things elsewhere (`smb_share`, `git_log`).
LEADING_VERBS = _table(write="log share", execute="block", destructive="trash", financial="order")
STRICT_READS = _set("get describe show fetch find retrieve lookup inspect")
CONJUNCTIONS = frozenset(("and", "or", "then", "plus"))

NOUNS = _table(
    read="""query count check report monitor watch test_results scan health status info
        information version summary history stats statistics metrics details detail overview
        help usage profile schema log logs docs documentation weather forecast""",
    write="""backup snapshot comment note record message_draft bookmark export dump""",
    execute="""run call test build release request process job task trigger message mail email
        sms tweet post notification alert webhook workflow action command shell bash terminal
        script code python sql""",
    financial="""order charge payment transfer invoice trade swap bet""",
)
READ_NOUNS = _set(
    """status info information version summary history stats statistics metrics details detail
    overview help usage health logs count"""
)

# A verb whose class depends on what it is done to: (without such a word, with one of these words).
BY_OBJECT: dict[str, tuple[RiskClass, tuple[tuple[RiskClass, frozenset[str]], ...]]] = {
    verb: (default, tuple((class_, _set(words)) for class_, words in rows))
    for verb, default, rows in (
        (
            "reset",
            DESTRUCTIVE,
            (
                (
                    EXECUTE,
                    """vm machine instance server host node container pod modem router session
                    connection computer""",
                ),
                (WRITE, "password pin passcode counter filter zoom view timer preference"),
            ),
        ),
        ("restore", DESTRUCTIVE, ((WRITE, "deleted trash window tab item message archived"),)),
        ("clear", DESTRUCTIVE, ((WRITE, "filter selection field input form screen console"),)),
        ("clean", DESTRUCTIVE, ()),
        ("wash", EXECUTE, ()),
        ("empty", DESTRUCTIVE, ()),
        ("flush", EXECUTE, ((DESTRUCTIVE, "all db database table data queue"),)),
        (
            "format",
            WRITE,
            ((DESTRUCTIVE, "disk drive volume partition card usb filesystem device storage"),),
        ),
        (
            "transfer",
            FINANCIAL,
            ((WRITE, "file files issue ownership repo repository domain data ticket lead call"),),
        ),
        (
            "charge",
            FINANCIAL,
            ((EXECUTE, "battery vehicle car ev device"),),
        ),
        (
            "checkout",
            FINANCIAL,
            ((WRITE, "branch git repo commit ref file files svn tag"),),
        ),
        ("lock", WRITE, ((EXECUTE, "door doors car vehicle home screen device"),)),
        (
            "query",
            READ,
            (
                (
                    EXECUTE,
                    """sql database db postgres postgresql mysql sqlite mssql oracle bigquery
                    snowflake duckdb clickhouse redshift athena mongo mongodb cypher neo4j""",
                ),
            ),
        ),
        (
            "send",
            EXECUTE,
            (
                (
                    FINANCIAL,
                    """transaction transactions money payment payments funds crypto eth btc bitcoin
                    ether coins""",
                ),
            ),
        ),
        ("submit", EXECUTE, ((FINANCIAL, "order orders payment payments"),)),
        (
            "convert",
            WRITE,
            ((READ, "currency currencies unit units temperature time timezone"),),
        ),
        ("register", WRITE, ((FINANCIAL, "domain domains"),)),
        ("migrate", WRITE, ((EXECUTE, "vm host instance container workload machine"),)),
        ("push", WRITE, ((DESTRUCTIVE, "force"),)),
        ("rollback", DESTRUCTIVE, ((WRITE, "transaction"),)),
        ("revert", DESTRUCTIVE, ((WRITE, "commit"),)),
        ("sign", WRITE, ((FINANCIAL, "transaction transactions"), (EXECUTE, "message data"))),
        (
            "book",
            WRITE,
            ((FINANCIAL, "flight flights hotel hotels ticket tickets ride trip travel train"),),
        ),
        ("swap", FINANCIAL, ((WRITE, "slot file files rows shift"), (EXECUTE, "slots"))),
        ("exchange", FINANCIAL, ((WRITE, "token code"),)),
        ("pull", WRITE, ((READ, "report data records metrics request requests"),)),
        ("scan", READ, ((EXECUTE, "port ports nmap network vulnerability vulnerabilities host"),)),
        ("open", EXECUTE, ((WRITE, "issue pr ticket pull"), (READ, "file document"))),
        (
            "close",
            WRITE,
            (
                (EXECUTE, "door garage valve cover blinds shutter window tab browser page"),
                (FINANCIAL, "position"),
            ),
        ),
        ("move", WRITE, ((EXECUTE, "robot arm mouse cursor camera"),)),
        ("set", WRITE, ((EXECUTE, "temperature thermostat brightness volume light lights"),)),
        ("issue", WRITE, ((FINANCIAL, "refund credit card payout"),)),
    )
}
SURE_BY_OBJECT = _set(
    """reset restore clear clean empty flush format lock send submit pull open close move set
    checkout exchange convert register migrate push rollback
    revert sign book"""
)

# With one of these, a tool that changes or starts something moves money.
MONEY_NOUNS = _set(
    """payment payments invoice invoices refund refunds payout payouts order orders charge charges
    money funds purchase purchases wallet billing trade trades donation donations paycheck
    payroll withdrawal withdrawals deposit deposits subscription subscriptions
    expense expenses spending salary salaries bill bills dispute disputes"""
)
NOT_MONEY_BEFORE_ORDER = _set("sort display tab stacking z column field reading work")

GLUED_DESTRUCTIVE = ("delete", "destroy", "remove", "purge", "erase", "truncate", "uninstall")
NOT_DESTRUCTIVE = _set(
    """deleted removed destroyed erased purged truncated uninstalled undelete deletion deletions
    removal remover dropped dropdown"""
)
